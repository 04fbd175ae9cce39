-- What most other acquires come to: an owner of dlock has the lock, and the caller is queued or only answered. All else
-- is left to acquire.lua, before the first write.

-- Enters the caller into the queue. Whether it is the first there: one that comes to others is not, even if the clock
-- went back; it asks again within a second. A sign of life has the queue outlive it by a minute, or by the ttl if that is
-- longer; so does the queue's first.
local function enqueue(me, ttl_ms, is_queue, now)
  local came = redis.call('ZADD', queue, 'NX', now, me) == 1
  if came and is_queue then return false end
  redis.call('PEXPIRE', queue, tonumber(ttl_ms) > 60000 and ttl_ms or '60000')
  return not is_queue or redis.call('ZRANK', queue, me) == 0
end

-- What is left of the lease of an owner of dlock, which asked for `longest_ms`.
local function left_of_lease(longest_ms)
  local left_ms = redis.call('PTTL', lock)
  if left_ms >= 0 and left_ms <= tonumber(longest_ms) then return left_ms end
  -- The server's clock went back, or another client took the expiry away.
  redis.call('PEXPIRE', lock, longest_ms)
  return tonumber(longest_ms)
end

-- What a waiter is told as the last number: no grant before `now` has a greater one. The counter may be ahead of the clock,
-- and the clock of a counter that was lost.
local function newest(now)
  local last = redis.pcall('GET', counter)
  if last and #last == #now and last < now then return now end
  local number = number_in(last)
  return number and number > tonumber(now) and last or now
end

if is_usual and there > 0 then
  local holder = redis.pcall('GET', lock)
  local longest_ms = type(holder) == 'string' and string.match(holder, HOLDER)
  if longest_ms and not is_of(holder, ARGV[1]) then
    if there > 2 and redis.call('ZSCORE', marks, ARGV[1]) then return {2} end
    if ARGV[3] == '0' then return {0, left_of_lease(longest_ms), 0, 0, '0'} end
    local now = server_micros()
    local first = enqueue(ARGV[1], ARGV[2], there % 2 == 0, now)
    -- A waiter that is not the first does not ask at the end of the lease.
    return {0, first and left_of_lease(longest_ms) or -1, first and 1 or 0, 0, newest(now)}
  end
end

