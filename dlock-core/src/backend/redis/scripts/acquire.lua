-- Grants the lock to an owner, or queues it. The same call asks again while waiting, and is the waiter's
-- sign of life.
--
-- KEYS    as in keys.lua
-- ARGV[1] owner
-- ARGV[2] ttl in ms
-- The following are left out from where on all are as said in brackets:
-- ARGV[3] 1 to wait in the queue, 0 to be answered only [1]
-- ARGV[4] 1 if a free lock goes to whoever asks first, whoever waits [0]
-- ARGV[5] prefix of the shard channels of this slot []
-- ARGV[6] how long a server grants nothing after it was started or promoted, in ms [0]
--
-- Returns token                     granted, with a block of tokens that begins with this one; an owner that had
--                                   the lock already gets its old block
--         {0, left, rank, foreign, last}  not granted: what is left of the holder's lease in ms (-1: it never
--                                   expires), or after how many ms to ask again if nobody has it; how many
--                                   wait before this owner (-1: it does not wait), 1 if the holder is no dlock
--                                   client, and the last token of the key
--         {2}                       the owner gave up: this request comes late
--         {3, left}                 no grants for so many ms yet
--         error WRONGTYPE           a key is of another type
--         error DLOCKCORRUPT        the fence is no token

local me, ttl_ms, waits = ARGV[1], ARGV[2], ARGV[3] ~= '0'
local barging, prefix = ARGV[4] == '1', ARGV[5] or ''

-- Before the first write: an error later on would not undo it.
local last = last_token()
if not last then return redis.error_reply('DLOCKCORRUPT the fence holds no token') end
local quarantined = quarantine_left(tonumber(ARGV[6] or 0))

beside = beside or redis.call('EXISTS', queue, marks)
if beside > 0 and redis.call('ZSCORE', marks, me) then return {2} end

local holder = redis.call('GET', lock)
if holder == me then
  redis.call('PEXPIRE', lock, ttl_ms)
  if last == 0 then return grant(me, ttl_ms, last) end
  return last - TOKENS + 1
end

local gap_ms = 0
if beside > 0 and not holder then gap_ms = gap_left(server_millis()) end

local free = not holder and quarantined == 0 and gap_ms == 0
if free and barging then
  redis.call('ZREM', queue, me)
  return grant(me, ttl_ms, last)
end

if waits then
  redis.call('ZADD', queue, 'NX', server_micros(), me)
  redis.call('PEXPIRE', queue, queue_ttl_ms)
end
if quarantined > 0 then return {3, quarantined} end

if free then
  local next
  next, last = hand_off(prefix, me, last, 0)
  if next == 'me' or next == 'nobody' then
    local token = grant(me, ttl_ms, last)
    redis.call('ZREM', queue, me)
    return token
  end
  holder = redis.call('GET', lock)
end

local left_ms, foreign = redis.call('PTTL', lock), 0
if holder then
  local longest_ms = tonumber(string.match(holder, '^dl1|%x+|%x+|(%d+)$'))
  if not longest_ms then
    foreign = 1
  elseif left_ms == -1 or left_ms > longest_ms then
    -- The server's clock went back, or somebody took the expiry away.
    redis.call('PEXPIRE', lock, longest_ms)
    left_ms = longest_ms
  end
else
  -- A gap, or there were too many dead waiters for one call.
  left_ms = gap_ms
end
local rank = waits and redis.call('ZRANK', queue, me) or -1
return {0, left_ms, rank, foreign, last}
