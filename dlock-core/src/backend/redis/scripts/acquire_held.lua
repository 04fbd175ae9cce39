-- What most other acquires come to: an owner of dlock has the lock, for no longer than it asked for, and the caller is
-- queued or only answered. All else is left to acquire.lua, before the first write. Numbers are passed on as text where
-- they are one already: to write them takes the server long.

-- How long the queue outlives this sign of life: a minute, if not the ttl is longer.
local queue_ttl_ms = tonumber(ARGV[2]) > 60000 and ARGV[2] or '60000'

-- Whether so great a number is a token still is for tokens.lua.
if last and last < 9000000000000000 then
  if beside > 0 and redis.call('ZSCORE', marks, ARGV[1]) then return {2} end
  local holder = redis.call('GET', lock)
  local longest_ms = holder and holder ~= ARGV[1] and tonumber(string.match(holder, '^dl1|%x+|%x+|(%d+)$'))
  local left_ms = longest_ms and redis.call('PTTL', lock)
  if left_ms and left_ms >= 0 and left_ms <= longest_ms then
    local rank = -1
    if ARGV[3] ~= '0' then
      time = time or redis.call('TIME')
      redis.call('ZADD', queue, 'NX', time[1] .. string.sub('00000' .. time[2], -6), ARGV[1])
      redis.call('PEXPIRE', queue, queue_ttl_ms)
      rank = beside > 0 and redis.call('ZRANK', queue, ARGV[1]) or 0
    end
    return {0, left_ms, rank, 0, last}
  end
end

