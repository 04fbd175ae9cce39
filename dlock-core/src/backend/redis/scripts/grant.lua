-- What a lock with waiters needs. Shared by acquire.lua and release.lua, which put it before their own text.
--
-- KEYS    as in keys.lua

-- Microseconds, given as text, in whole ms.
local function millis_of(micros)
  return math.floor(tonumber(micros) / 1000)
end

local function server_millis()
  return millis_of(server_micros())
end

-- Makes `owner` the holder. Returns the number of the grant.
local function grant(owner, ttl_ms)
  local number = next_number(counter)
  if not number then
    -- Asked again, the server refuses in its own words.
    redis.call('SET', counter, '0', 'NX')
    error('DLOCKCORRUPT the clock of the server is past the year 2112', 0)
  end
  redis.call('SET', lock, owner .. number, 'PX', ttl_ms)
  return number
end

-- What is left at `now` of the time for which the lock is left free. More than the whole of it means that the
-- clock went back; then it is over.
local function gap_left(now)
  local ends = redis.call('ZSCORE', marks, '|gap')
  if not ends then return 0 end
  local left, length = tonumber(ends) - now, redis.call('ZSCORE', marks, '|length')
  return length and left > 0 and left <= -tonumber(length) and left or 0
end

-- Grants the free lock to the first waiter whose process listens. `me` is granted by the caller instead, and `passed`
-- dead waiters were passed over before. A waiter of another build is told that the lock is free: only such a build knows
-- how it is to have it.
-- Returns 'me', 'other', 'nobody' if the queue is empty, or 'unknown' after the longest walk.
local function hand_off(prefix, me, passed)
  for _ = passed + 1, LONGEST_WALK do
    local head = redis.call('ZRANGE', queue, 0, 0)[1]
    if not head then return 'nobody' end
    if head == me then return 'me' end
    local inbox, ttl_ms = string.match(head, WAITER)
    local other = not inbox and string.match(head, OTHER_WAITER)
    if inbox then
      local number = grant(head, ttl_ms)
      redis.call('ZREM', queue, head)
      if tell(prefix, inbox, head .. number .. '|' .. lock) > 0 then return 'other' end
      redis.call('DEL', lock)
    elseif other and tell(prefix, other, head .. '0|' .. lock) > 0 then
      return 'other'
    else
      redis.call('ZREM', queue, head)
    end
  end
  return 'unknown'
end

-- Tells the first waiter whose process listens to ask for the lock, and leaves it in its place.
local function wake_first(prefix)
  for _ = 1, LONGEST_WALK do
    local head = redis.call('ZRANGE', queue, 0, 0)[1]
    if not head then return end
    local inbox = string.match(head, OTHER_WAITER)
    if inbox and tell(prefix, inbox, head .. '0|' .. lock) > 0 then return end
    redis.call('ZREM', queue, head)
  end
end

-- How long this server must not grant anything yet, in ms: it was started or promoted, and may have lost
-- leases that were granted before. The first call after that begins the time (reliability: quarantine).
local function quarantine_left(quarantine_ms)
  if quarantine_ms == 0 then return 0 end
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  local me, now = run .. ':' .. history, server_millis()
  local known, over = string.match(redis.call('GET', marker) or '', '^(%x+:%x+)|(%d+)$')
  -- More than the whole of it is left if the clock went back.
  if known ~= me or tonumber(over) - now > quarantine_ms then
    over = now + quarantine_ms
    redis.call('SET', marker, me .. '|' .. string.format('%.0f', over))
  end
  return math.max(tonumber(over) - now, 0)
end

