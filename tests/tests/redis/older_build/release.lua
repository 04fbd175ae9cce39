-- As builds before the owners of the form dl2 call it. KEYS: lock, dlock:q:…, dlock:f:…, dlock:g:….

local lock, queue, fence, marks, marker = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local queued = redis.call('EXISTS', queue) == 1
if not queued and (ARGV[2] or '0') == '0' and redis.call('GET', lock) == ARGV[1] then
  return redis.call('DEL', lock)
end

local TOKENS = 64
local LONGEST_WALK = 64
local OWNER, OWNER_TTL = '^dl1|(%x+)|%x+|(%d+)$', '^dl1|%x+|%x+|(%d+)$'

local function token_in(text)
  if not text then return 0 end
  local token = type(text) == 'string' and string.find(text, '^%d+$') and tonumber(text)
  return token and token < 9007199254740991 - (LONGEST_WALK + 1) * TOKENS and token or nil
end

local function tell(prefix, inbox, message)
  if prefix ~= '' then return redis.call('SPUBLISH', prefix .. inbox, message) end
  local namespace = string.sub(queue, 1, string.find(queue, 'dlock:q:', 1, true) - 1)
  local channel = namespace .. 'dlock:i:' .. inbox
  local heard = redis.call('PUBLISH', channel, message)
  if heard == 0 or redis.pcall('PUBSUB', 'NUMPAT') == 0 then return heard end
  return redis.pcall('PUBSUB', 'NUMSUB', channel)[2] or heard
end

local passed = 0

if queued and (ARGV[2] or '0') == '0' and ARGV[3] ~= '1' and (ARGV[5] or '0') == '0' and (ARGV[7] or '0') == '0'
  and redis.call('GET', lock) == ARGV[1] then
  local head = redis.pcall('ZRANGE', queue, '0', '0')[1] or ''
  local inbox, ttl_ms = string.match(head, OWNER)
  local last = inbox and tonumber(redis.pcall('GET', fence))
  if last then
    local time = redis.call('TIME')
    local first = time[1] .. string.sub('00000' .. time[2], -6)
    local newest = first + TOKENS - 1
    local step = newest - last
    if step >= TOKENS and step <= newest % 3600000000 and type(redis.pcall('INCRBY', fence, step)) == 'number'
      and redis.pcall('SET', lock, head, 'PX', ttl_ms).ok then
      redis.call('ZREM', queue, head)
      local told, heard = pcall(tell, ARGV[4] or '', inbox, head .. '|' .. first .. '|' .. lock)
      if not told or heard > 0 then return 1 end
      passed = 1
    end
  end
end

local function write_fence(fence, last, newest, now)
  local step = newest - last
  local counts = last > 0 and last < now and step <= newest % 3600000000
  if counts and type(redis.pcall('INCRBY', fence, step)) == 'number' then return end
  redis.call('SET', fence, newest, 'PX', 604800000)
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

local me, late_ms = ARGV[1], tonumber(ARGV[2] or 0)
local barging, prefix, quarantine_ms = ARGV[3] == '1', ARGV[4] or '', tonumber(ARGV[5] or 0)
local between_ms, gap_ms = tonumber(ARGV[6] or 0), tonumber(ARGV[7] or 0)

local GAP_MEMORY_MS = 60000

local function note(score, member, keep_ms)
  redis.call('ZADD', marks, score, member)
  if redis.call('PTTL', marks) < keep_ms then redis.call('PEXPIRE', marks, keep_ms) end
end

local function is_gap()
  if gap_ms == 0 then return false end
  local now = server_millis()
  if gap_left(now) > 0 then return true end
  local next = redis.call('ZSCORE', marks, '|next')
  local until_next = next and -tonumber(next) - now or 0
  if until_next > 0 and until_next <= between_ms + gap_ms then return false end
  if not next then
    note(-(now + between_ms), '|next', between_ms + GAP_MEMORY_MS)
    return false
  end
  note(now + gap_ms, '|gap', gap_ms)
  note(-gap_ms, '|length', gap_ms)
  note(-(now + gap_ms + between_ms), '|next', gap_ms + between_ms + GAP_MEMORY_MS)
  return true
end

local function pass_on()
  local last = token_in(redis.call('GET', fence))
  if not last then return end
  if barging or is_gap() or quarantine_left(quarantine_ms) > 0 then return wake_first(prefix) end
  hand_off(prefix, nil, last, passed)
end

local had_it = passed > 0 or redis.call('GET', lock) == me
if had_it then
  redis.call('DEL', lock)
elseif queued then
  redis.call('ZREM', queue, me)
end

if queued and (had_it or redis.call('EXISTS', lock) == 0) then pcall(pass_on) end

if late_ms > 0 then
  local now = server_millis()
  redis.call('ZREMRANGEBYSCORE', marks, '(0', now)
  note(now + late_ms, me, late_ms)
end

return had_it and 1 or 0
