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

local had_it = redis.call('GET', lock) == me
local queued = redis.call('EXISTS', queue) == 1
if had_it then
  -- First, because a full server refuses a SET as a script's first write, but not after another write.
  redis.call('DEL', lock)
elseif queued then
  redis.call('ZREM', queue, me)
end

-- A hand-off that is refused leaves a free lock, which the waiters find by asking again.
if queued and redis.call('EXISTS', lock) == 0 then
  local last = last_token()
  if last then pcall(hand_off, nil, last) end
end

-- Last, because memory pressure may refuse it; then the late request costs one lease (I7).
if late_ms > 0 then
  local now_ms = math.floor(server_micros() / 1000)
  redis.call('ZREMRANGEBYSCORE', given_up, '-inf', now_ms)
  redis.call('ZADD', given_up, now_ms + late_ms, me)
  if redis.call('PTTL', given_up) < late_ms then redis.call('PEXPIRE', given_up, late_ms) end
end

return had_it and 1 or 0
