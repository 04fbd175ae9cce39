-- Grants the lock to an owner, or queues it. The same call asks again while waiting, and is the waiter's
-- sign of life.
--
-- KEYS    as in keys.lua
-- ARGV[1] owner
-- ARGV[2] ttl in ms
-- The following may be left out, together with all behind it, where all of them are as said in brackets:
-- ARGV[3] 1 to wait in the queue, 0 to be answered only [1]
-- ARGV[4] 1 if a free lock goes to the first owner that asks, even if others wait [0]
-- ARGV[5] prefix of the shard channels of this slot []
-- ARGV[6] how long a server grants nothing after it was started or promoted, in ms [0]
--
-- Returns number                    granted, under this number, as text; an owner that had the lock already gets its old
--                                   one
--         {0, left, first, foreign, last}  not granted:
--                                   left: how many ms of the holder's lease are left; -1 if it never expires, or if
--                                   an earlier waiter asks at its end; without a holder, after how many ms to ask again
--                                   first: 1 if the owner is the first that waits
--                                   foreign: 1 if the holder is no dlock client
--                                   last: a number, as text; no grant before this answer has a greater one. 0 if the
--                                   owner does not wait
--         {2}                       the owner gave up: this request comes late
--         {3, left}                 no grants for this many ms yet
--         error WRONGTYPE           a key is of another type

local me, ttl_ms, waits = ARGV[1], ARGV[2], ARGV[3] ~= '0'
local barging, prefix = ARGV[4] == '1', ARGV[5] or ''

-- Before the first write: an error later on would not undo it.
local quarantined = quarantine_left(tonumber(ARGV[6] or 0))
if redis.call('ZSCORE', marks, me) then return {2} end

local holder = redis.call('GET', lock)
if is_of(holder, me) then
  redis.call('PEXPIRE', lock, ttl_ms)
  return string.match(holder, '^%d+', #me + 1)
end

local now = server_micros()
local gap_ms = holder and 0 or gap_left(millis_of(now))
local free = not holder and quarantined == 0 and gap_ms == 0
if free and barging then
  redis.call('ZREM', queue, me)
  return grant(me, ttl_ms)
end

local first = waits and enqueue(me, ttl_ms, redis.call('EXISTS', queue) == 1, now)
if quarantined > 0 then return {3, quarantined} end

local next
if free then
  next = hand_off(prefix, me, 0)
  if next == 'me' or next == 'nobody' then
    local number = grant(me, ttl_ms)
    redis.call('ZREM', queue, me)
    return number
  end
  holder, first = redis.call('GET', lock), waits and redis.call('ZRANK', queue, me) == 0
end

-- A gap; or there were too many dead waiters for one call; or a waiter of another build was told.
local left_ms, foreign = next == 'other' and 100 or gap_ms, 0
if holder then
  local longest_ms = string.match(holder, HOLDER)
  foreign = longest_ms and 0 or 1
  if waits and not first then
    left_ms = -1
  else
    left_ms = longest_ms and left_of_lease(longest_ms) or redis.call('PTTL', lock)
  end
end
return {0, left_ms, first and 1 or 0, foreign, waits and newest(now) or '0'}
