-- Grants the lock to an owner, or queues it. The same call asks again while waiting, and is the waiter's
-- sign of life.
--
-- KEYS    as in grant.lua
-- ARGV[1] owner
-- ARGV[2] ttl in ms
-- ARGV[3] 1 to wait in the queue, 0 to be answered only
-- ARGV[4] how long the queue outlives its last sign of life, in ms
--
-- Returns {1, token}                granted; an owner that had the lock already gets its old token
--         {0, pttl, rank, foreign, last}  another has it: its remaining lease in ms (-1: it never expires),
--                                   how many wait before this owner (-1: it does not wait), 1 if the holder
--                                   is no dlock client, and the last token of the key
--         {2}                       the owner gave up: this request comes late
--         error WRONGTYPE           a key is of another type
--         error DLOCKCORRUPT        the fence is no token

local me, ttl_ms, waits, queue_ttl_ms = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]

-- Before the first write: an error later on would not undo it.
local last = last_token()
if not last then return redis.error_reply('DLOCKCORRUPT the fence holds no token') end

-- The common case: nobody waits, nobody gave up, the lock is free.
local beside = redis.call('EXISTS', queue, given_up)
if beside == 0 and redis.call('SET', lock, me, 'NX', 'PX', ttl_ms) then return {1, issue_token(last)} end

if beside > 0 and redis.call('ZSCORE', given_up, me) then return {2} end

local holder = redis.call('GET', lock)
if holder == me then
  redis.call('PEXPIRE', lock, ttl_ms)
  if last == 0 then return {1, grant(me, ttl_ms, last)} end
  return {1, last}
end

if waits then
  redis.call('ZADD', queue, 'NX', string.format('%.0f', server_micros()), me)
  redis.call('PEXPIRE', queue, queue_ttl_ms)
end

if not holder then
  local next = hand_off(me, last)
  last = last_token()
  if next == 'me' or next == 'nobody' then
    local token = grant(me, ttl_ms, last)
    redis.call('ZREM', queue, me)
    return {1, token}
  end
end

holder = redis.call('GET', lock)
local foreign = holder and not string.match(holder, '^dl1|%x+|%x+|%d+$')
local rank = waits and redis.call('ZRANK', queue, me) or -1
return {0, redis.call('PTTL', lock), rank, foreign and 1 or 0, last}
