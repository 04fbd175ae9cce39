-- As builds before the owners of the form dl2 call it. KEYS: lock, dlock:q:…, dlock:f:…, dlock:g:….

local lock, queue, fence, marks, marker = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local TOKENS = 64
local LONGEST_WALK = 64
local OWNER, OWNER_TTL = '^dl1|(%x+)|%x+|(%d+)$', '^dl1|%x+|%x+|(%d+)$'

local function token_in(text)
  if not text then return 0 end
  local token = type(text) == 'string' and string.find(text, '^%d+$') and tonumber(text)
  return token and token < 9007199254740991 - (LONGEST_WALK + 1) * TOKENS and token or nil
end

local function write_fence(fence, last, newest, now)
  local step = newest - last
  local counts = last > 0 and last < now and step <= newest % 3600000000
  if counts and type(redis.pcall('INCRBY', fence, step)) == 'number' then return end
  redis.call('SET', fence, newest, 'PX', 604800000)
end

local there = redis.call('EXISTS', lock, queue, marks, marks)
local is_usual = (ARGV[6] or '0') == '0'

if is_usual and there == 0 then
  local last, time = token_in(redis.pcall('GET', fence)), redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  if last and last < now and redis.pcall('SET', lock, ARGV[1], 'PX', ARGV[2]).ok then
    write_fence(fence, last, now + TOKENS - 1, now)
    return now
  end
end

local function enqueue(me, ttl_ms, is_queue)
  local time = redis.call('TIME')
  local came = redis.call('ZADD', queue, 'NX', time[1] .. string.sub('00000' .. time[2], -6), me) == 1
  if came and is_queue then return false end
  redis.call('PEXPIRE', queue, tonumber(ttl_ms) > 60000 and ttl_ms or '60000')
  return not is_queue or redis.call('ZRANK', queue, me) == 0
end

local function left_of_lease(longest_ms)
  local left_ms = redis.call('PTTL', lock)
  if left_ms >= 0 and left_ms <= tonumber(longest_ms) then return left_ms end
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
    return {0, (first or not waits) and left_of_lease(longest_ms) or -1, first and 1 or 0, 0, last}
  end
end

local function server_micros()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function issue_tokens(last)
  local now = server_micros()
  local first = math.max(last + 1, now)
  write_fence(fence, last, first + TOKENS - 1, now)
  return first
end

local function tell(prefix, inbox, message)
  if prefix ~= '' then return redis.call('SPUBLISH', prefix .. inbox, message) end
  local namespace = string.sub(queue, 1, string.find(queue, 'dlock:q:', 1, true) - 1)
  local channel = namespace .. 'dlock:i:' .. inbox
  local heard = redis.call('PUBLISH', channel, message)
  if heard == 0 or redis.pcall('PUBSUB', 'NUMPAT') == 0 then return heard end
  return redis.pcall('PUBSUB', 'NUMSUB', channel)[2] or heard
end

local function server_millis()
  return math.floor(server_micros() / 1000)
end

local function grant(owner, ttl_ms, last)
  redis.call('SET', lock, owner, 'PX', ttl_ms)
  return issue_tokens(last)
end

local function gap_left(now)
  local ends = redis.call('ZSCORE', marks, '|gap')
  if not ends then return 0 end
  local left, length = tonumber(ends) - now, redis.call('ZSCORE', marks, '|length')
  return length and left > 0 and left <= -tonumber(length) and left or 0
end

local function hand_off(prefix, me, last, passed)
  for _ = passed + 1, LONGEST_WALK do
    local head = redis.call('ZRANGE', queue, 0, 0)[1]
    if not head then return 'nobody', last end
    if head == me then return 'me', last end
    local inbox, ttl_ms = string.match(head, OWNER)
    if inbox then
      local first = grant(head, ttl_ms, last)
      last = first + TOKENS - 1
      redis.call('ZREM', queue, head)
      if tell(prefix, inbox, head .. '|' .. string.format('%.0f', first) .. '|' .. lock) > 0 then return 'other', last end
      redis.call('DEL', lock)
    else
      redis.call('ZREM', queue, head)
    end
  end
  return 'unknown', last
end

local function wake_first(prefix)
  for _ = 1, LONGEST_WALK do
    local head = redis.call('ZRANGE', queue, 0, 0)[1]
    if not head then return end
    local inbox = string.match(head, OWNER)
    if inbox and tell(prefix, inbox, head .. '|0|' .. lock) > 0 then return end
    redis.call('ZREM', queue, head)
  end
end

local function quarantine_left(quarantine_ms)
  if quarantine_ms == 0 then return 0 end
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  local me, now = run .. ':' .. history, server_millis()
  local known, over = string.match(redis.call('GET', marker) or '', '^(%x+:%x+)|(%d+)$')
  if known ~= me or tonumber(over) - now > quarantine_ms then
    over = now + quarantine_ms
    redis.call('SET', marker, me .. '|' .. string.format('%.0f', over))
  end
  return math.max(tonumber(over) - now, 0)
end

local me, ttl_ms, waits = ARGV[1], ARGV[2], ARGV[3] ~= '0'
local barging, prefix = ARGV[4] == '1', ARGV[5] or ''

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
