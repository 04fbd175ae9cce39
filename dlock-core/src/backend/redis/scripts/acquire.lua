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
--         {0, left, first, foreign, last}  not granted: what is left of the holder's lease in ms (-1: it never
--                                   expires, or an earlier waiter asks at its end), or after how many ms to ask
--                                   again if nobody has it; 1 if the owner is the first that waits, 1 if the
--                                   holder is no dlock client, and the last token of the key
--         {2}                       the owner gave up: this request comes late
--         {3, left}                 no grants for so many ms yet
--         error WRONGTYPE           a key is of another type
--         error DLOCKCORRUPT        the fence is no token

local me, ttl_ms, waits = ARGV[1], ARGV[2], ARGV[3] ~= '0'
local barging, prefix = ARGV[4] == '1', ARGV[5] or ''

-- Before the first write: an error later on would not undo it.
local last = token_in(redis.call('GET', fence))
if not last then return redis.error_reply('DLOCKCORRUPT the fence holds no token') end
local quarantined = quarantine_left(tonumber(ARGV[6] or 0))

if redis.call('ZSCORE', marks, me) then return {2} end

local holder = redis.call('GET', lock)
if holder == me then
  redis.call('PEXPIRE', lock, ttl_ms)
  if last == 0 then return grant(me, ttl_ms, last) end
  return last - TOKENS + 1
end

local gap_ms = holder and 0 or gap_left(server_millis())
local free = not holder and quarantined == 0 and gap_ms == 0
if free and barging then
  redis.call('ZREM', queue, me)
  return grant(me, ttl_ms, last)
end

local first = waits and enqueue(me, ttl_ms, redis.call('EXISTS', queue) == 1)
if quarantined > 0 then return {3, quarantined} end

if free then
  local next
  next, last = hand_off(prefix, me, last, 0)
  if next == 'me' or next == 'nobody' then
    local token = grant(me, ttl_ms, last)
    redis.call('ZREM', queue, me)
    return token
  end
  holder, first = redis.call('GET', lock), waits and redis.call('ZRANK', queue, me) == 0
end

-- A gap, or there were too many dead waiters for one call.
local left_ms, foreign = gap_ms, 0
if holder then
  local longest_ms = string.match(holder, OWNER_TTL)
  foreign = longest_ms and 0 or 1
  if waits and not first then
    left_ms = -1
  else
    left_ms = longest_ms and left_of_lease(longest_ms) or redis.call('PTTL', lock)
  end
end
return {0, left_ms, first and 1 or 0, foreign, last}
