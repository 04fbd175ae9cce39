-- As builds before the owners of the form dl2 call it. KEYS: lock, dlock:q:…, dlock:f:…, dlock:g:….
-- The keys of one lock.
--
-- KEYS[1] lock   the string key itself: the owner that has the lock
-- KEYS[2] queue  sorted set of waiting owners, by server time of arrival
-- KEYS[3] fence  the last token of this key: the last of the block that the last grant got
-- KEYS[4] marks  sorted set of what is noted about this key, by server time in ms:
--                <owner>  gave up without knowing what became of its requests: one may come until then
--                |gap     the lock is left free for clients of other libraries until then
--                |length  negative: how long that gap is
--                |next    negative: when the next such gap may begin
-- KEYS[5] marker only with a quarantine: which server this is, and until when it grants nothing
--
-- An owner is dl1|<inbox>|<id>|<ttl in ms>. The message of a hand-off is <owner>|<token>|<lock>, that of a
-- wake-up <owner>|0|<lock>.

local lock, queue, fence, marks, marker = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

-- What most calls of release.lua come to: the owner has the lock, nobody waits, and no request is under way.
local queued = redis.call('EXISTS', queue) == 1
if not queued and (ARGV[2] or '0') == '0' and redis.call('GET', lock) == ARGV[1] then
  return redis.call('DEL', lock)
end

-- What is the same in all scripts of the queue.

-- Each grant gets so many tokens: the process hands the lock over to as many of its own.
local TOKENS = 64
-- Dead waiters passed over in one call. Those behind them ask again by themselves.
local LONGEST_WALK = 64
-- An owner: its inbox and its ttl; and its ttl alone.
local OWNER, OWNER_TTL = '^dl1|(%x+)|%x+|(%d+)$', '^dl1|%x+|%x+|(%d+)$'

-- The last token that a fence with this text tells of, 0 if there is none; nil if it is no token. 2^53 is where a Lua
-- number stops being exact; one call hands out no more tokens than are kept free below it.
local function token_in(text)
  if not text then return 0 end
  local token = type(text) == 'string' and string.find(text, '^%d+$') and tonumber(text)
  return token and token < 9007199254740991 - (LONGEST_WALK + 1) * TOKENS and token or nil
end

-- Sends a message to an inbox. `prefix` is that of the shard channels of this slot; on a server that is not part of a
-- cluster there is none, and the channel begins as the queue does, with the namespace. No namespace and no lock has
-- `dlock:q:` in it.
--
-- Returns how many subscribers the inbox has: with 0 the waiter's process is dead. PUBLISH also counts the clients that
-- subscribe by pattern, such as a monitor (PSUBSCRIBE *), and a single receiver may be a monitor. NUMSUB counts no
-- patterns. NUMPAT costs the server half as much; while it is 0, PUBLISH is right. Between these commands no client
-- comes or goes, for nothing else runs during a script. An account that may not ask gets the count of PUBLISH. Shard
-- channels know no patterns.
local function tell(prefix, inbox, message)
  if prefix ~= '' then return redis.call('SPUBLISH', prefix .. inbox, message) end
  -- A plain search takes the server a third of what a pattern does.
  local namespace = string.sub(queue, 1, string.find(queue, 'dlock:q:', 1, true) - 1)
  local channel = namespace .. 'dlock:i:' .. inbox
  local heard = redis.call('PUBLISH', channel, message)
  if heard == 0 or redis.pcall('PUBSUB', 'NUMPAT') == 0 then return heard end
  return redis.pcall('PUBSUB', 'NUMSUB', channel)[2] or heard
end

-- What most other releases come to: the owner has the lock, and the first waiter listens. Another order of things is left
-- to release.lua.

-- How many dead waiters were passed over: none, or one, which then has the lock in the owner's place.
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
    -- A fence that is only to be counted up, as write_fence has it. The server does not count what is no whole number as
    -- it writes them itself; and a full server refuses this as a script's first write, but not the SET after it.
    if step >= TOKENS and step <= newest % 3600000000 and type(redis.pcall('INCRBY', fence, step)) == 'number'
      and redis.pcall('SET', lock, head, 'PX', ttl_ms).ok then
      redis.call('ZREM', queue, head)
      local told, heard = pcall(tell, ARGV[4] or '', inbox, head .. '|' .. first .. '|' .. lock)
      -- A waiter that cannot be told finds it out by asking again.
      if not told or heard > 0 then return 1 end
      passed = 1
    end
  end
end

-- Makes `newest` the last token, where `last` was; `now` is the server's time in microseconds. To count up takes less
-- time than to write, but leaves the fence's time to live: once an hour, and while the fence is ahead of the clock, that
-- begins anew. It is longer than every lease by far; that the fence ends does no harm while the server's clock does not
-- step back.
local function write_fence(fence, last, newest, now)
  local step = newest - last
  local counts = last > 0 and last < now and step <= newest % 3600000000
  -- A number that others wrote with zeros before it is none that the server counts.
  if counts and type(redis.pcall('INCRBY', fence, step)) == 'number' then return end
  redis.call('SET', fence, newest, 'PX', 604800000)
end

-- The tokens of a lock, as its fence keeps them. `fence` is as in keys.lua.

local function server_micros()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- The first token of the next block (I2).
local function issue_tokens(last)
  local now = server_micros()
  local first = math.max(last + 1, now)
  write_fence(fence, last, first + TOKENS - 1, now)
  return first
end

-- What a lock with waiters needs. Shared by acquire.lua and release.lua, which put it before their own text.
--
-- KEYS    as in keys.lua

local function server_millis()
  return math.floor(server_micros() / 1000)
end

-- Makes `owner` the holder.
local function grant(owner, ttl_ms, last)
  redis.call('SET', lock, owner, 'PX', ttl_ms)
  return issue_tokens(last)
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
-- dead waiters were passed over before.
-- Returns 'me', 'other', 'nobody' if the queue is empty, or 'unknown' after the longest walk; and the last token.
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

-- Tells the first waiter whose process listens to ask for the lock, and leaves it in its place.
local function wake_first(prefix)
  for _ = 1, LONGEST_WALK do
    local head = redis.call('ZRANGE', queue, 0, 0)[1]
    if not head then return end
    local inbox = string.match(head, OWNER)
    if inbox and tell(prefix, inbox, head .. '|0|' .. lock) > 0 then return end
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

-- Makes an owner leave, as holder and as waiter, and hands the free lock to the next waiter.
--
-- KEYS    as in keys.lua
-- ARGV[1] owner
-- The following are left out from where on all are as said in brackets:
-- ARGV[2] how long a request of this owner may still be under way, in ms; 0 if none can be [0]
-- ARGV[3] 1 if the next waiter is only told that the lock is free [0]
-- ARGV[4] prefix of the shard channels of this slot []
-- ARGV[5] as ARGV[6] of acquire.lua [0]
-- ARGV[6] how long at least between two gaps, in ms [0]
-- ARGV[7] how long a gap is, in ms; 0 for none [0]
--
-- Returns 1                the owner had the lock
--         0                it had not
--         error WRONGTYPE  the lock is of another type; or the marks are, and the lock is released. Past any other
--                          key of another type the lock is released as well, and handed to nobody

local me, late_ms = ARGV[1], tonumber(ARGV[2] or 0)
local barging, prefix, quarantine_ms = ARGV[3] == '1', ARGV[4] or '', tonumber(ARGV[5] or 0)
local between_ms, gap_ms = tonumber(ARGV[6] or 0), tonumber(ARGV[7] or 0)

-- How long it is remembered that gaps are due, after a release to a queue.
local GAP_MEMORY_MS = 60000

-- Notes for `keep_ms` at least.
local function note(score, member, keep_ms)
  redis.call('ZADD', marks, score, member)
  if redis.call('PTTL', marks) < keep_ms then redis.call('PEXPIRE', marks, keep_ms) end
end

-- Whether a gap begins now, or is open. The first one is due some time after the first release to a queue.
local function is_gap()
  if gap_ms == 0 then return false end
  local now = server_millis()
  if gap_left(now) > 0 then return true end
  local next = redis.call('ZSCORE', marks, '|next')
  -- Further away than it can be: the clock went back.
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
  -- First, because a full server refuses a SET as a script's first write, but not after another write.
  redis.call('DEL', lock)
elseif queued then
  redis.call('ZREM', queue, me)
end

-- A hand-off that is refused leaves a free lock, which the waiters find by asking again.
if queued and (had_it or redis.call('EXISTS', lock) == 0) then pcall(pass_on) end

-- Last, because memory pressure may refuse it; then the late request costs one lease (I7).
if late_ms > 0 then
  local now = server_millis()
  redis.call('ZREMRANGEBYSCORE', marks, '(0', now)
  note(now + late_ms, me, late_ms)
end

return had_it and 1 or 0
