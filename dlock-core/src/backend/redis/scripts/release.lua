-- Makes an owner leave, as holder and as waiter, and hands the free lock to the next waiter.
--
-- KEYS    as in grant.lua
-- ARGV[1] owner
-- ARGV[2] how long a request of this owner may still be under way, in ms; 0 if none can be
--
-- Returns 1                the owner had the lock
--         0                it had not
--         error WRONGTYPE  a key is of another type

local me, late_ms = ARGV[1], tonumber(ARGV[2])

-- Before the first write: an error later on would not undo it.
local holder = redis.call('GET', lock)
local last = last_token()
local queued = redis.call('EXISTS', queue) == 1

local had_it = holder == me
if had_it then
  -- First, because a full server refuses a SET as a script's first write, but not after another write.
  redis.call('DEL', lock)
elseif queued then
  redis.call('ZREM', queue, me)
end

-- A hand-off that is refused leaves a free lock, which the waiters find by asking again.
if queued and last and (had_it or not holder) then pcall(hand_off, nil, last) end

-- Last, because memory pressure may refuse it; then the late request costs one lease (I7).
if late_ms > 0 then
  local now_ms = math.floor(server_micros() / 1000)
  redis.call('ZREMRANGEBYSCORE', given_up, '-inf', now_ms)
  redis.call('ZADD', given_up, now_ms + late_ms, me)
  redis.call('PEXPIRE', given_up, late_ms)
end

return had_it and 1 or 0
