-- Sends a message to an inbox. `prefix` is that of the shard channels of this slot; on a server that is not part of a
-- cluster there is none, and the channel begins as the queue does, with the namespace. No namespace and no lock has
-- `dlock:w:` in it.
--
-- Returns how many subscribers the inbox has: with 0 the waiter's process is dead. PUBLISH also counts the clients that
-- subscribe by pattern, such as a monitor (PSUBSCRIBE *), and a single receiver may be a monitor. NUMSUB counts no
-- patterns. NUMPAT costs the server half as much; while it is 0, PUBLISH is right. Between these commands no client
-- comes or goes, for nothing else runs during a script. An account that may not ask gets the count of PUBLISH. Shard
-- channels know no patterns.
local function tell(prefix, inbox, message)
  if prefix ~= '' then return redis.call('SPUBLISH', prefix .. inbox, message) end
  -- A plain search takes the server a third of what a pattern does.
  local namespace = string.sub(queue, 1, string.find(queue, 'dlock:w:', 1, true) - 1)
  local channel = namespace .. 'dlock:i:' .. inbox
  local heard = redis.call('PUBLISH', channel, message)
  if heard == 0 or redis.pcall('PUBSUB', 'NUMPAT') == 0 then return heard end
  return redis.pcall('PUBSUB', 'NUMSUB', channel)[2] or heard
end

