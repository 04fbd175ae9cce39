-- What most other acquires come to: an owner of dlock has the lock, and the caller is queued or only answered. All else
-- is left to acquire.lua, before the first write.

-- Enters the caller into the queue. Whether it is the first there: one that comes to others is not, even if the clock
-- went back; it asks again within a second. A sign of life has the queue outlive it by a minute, or by the ttl if that is
-- longer; so does the queue's first.
local function enqueue(me, ttl_ms, is_queue)
  local time = redis.call('TIME')
  -- Numbers are passed on as text where they are one already: to write them takes the server long.
  local came = redis.call('ZADD', queue, 'NX', time[1] .. string.sub('00000' .. time[2], -6), me) == 1
  if came and is_queue then return false end
  redis.call('PEXPIRE', queue, tonumber(ttl_ms) > 60000 and ttl_ms or '60000')
  return not is_queue or redis.call('ZRANK', queue, me) == 0
end

-- What is left of the lease of an owner of dlock, which asked for `longest_ms`.
local function left_of_lease(longest_ms)
  local left_ms = redis.call('PTTL', lock)
  if left_ms >= 0 and left_ms <= tonumber(longest_ms) then return left_ms end
  -- The server's clock went back, or somebody took the expiry away.
  redis.call('PEXPIRE', lock, longest_ms)
  return tonumber(longest_ms)
end

if is_usual and there > 0 then
  local holder = redis.pcall('GET', lock)
  local longest_ms = type(holder) == 'string' and holder ~= ARGV[1] and string.match(holder, OWNER_TTL)
  local last = longest_ms and token_in(redis.pcall('GET', fence))
  if last then
    if there > 2 and redis.call('ZSCORE', marks, ARGV[1]) then return {2} end
    local waits = ARGV[3] ~= '0'
    local first = waits and enqueue(ARGV[1], ARGV[2], there % 2 == 0)
    -- Who is not the first does not ask at the end of the lease.
    return {0, (first or not waits) and left_of_lease(longest_ms) or -1, first and 1 or 0, 0, last}
  end
end

