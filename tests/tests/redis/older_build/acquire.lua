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

-- What most acquires come to: the lock is free, nobody waits, and nothing is noted about it. All else is left to what
-- follows, before the first write.

-- How many there are of the lock, 1, the queue, 1, and the marks, 2: a key that is named twice counts twice.
local there = redis.call('EXISTS', lock, queue, marks, marks)
local is_usual = (ARGV[6] or '0') == '0'

if is_usual and there == 0 then
  local last, time = token_in(redis.pcall('GET', fence)), redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  -- A fence ahead of the clock is for tokens.lua. What EXISTS does not count, a SET destroys no part of.
  if last and last < now and redis.pcall('SET', lock, ARGV[1], 'PX', ARGV[2]).ok then
    write_fence(fence, last, now + TOKENS - 1, now)
    return now
  end
end

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

-- Grants the lock to an owner, or queues it. The same call asks again while waiting, and is the waiter's
-- sign of life.
--
-- KEYS    as in keys.lua
-- ARGV[1] owner
-- ARGV[2] ttl in ms
-- The following are left out from where on all are as said in brackets:
-- ARGV[3] 1 to wait in the queue, 0 to be answered only [1]
-- ARGV[4] 1 if a free lock goes to whoever asks first, whoever waits [0]
-- ARGV[5] prefix of the shard channels of this slot []
-- ARGV[6] how long a server grants nothing after it was started or promoted, in ms [0]
--
-- Returns token                     granted, with a block of tokens that begins with this one; an owner that had
--                                   the lock already gets its old block
--         {0, left, first, foreign, last}  not granted: what is left of the holder's lease in ms (-1: it never
--                                   expires, or an earlier waiter asks at its end), or after how many ms to ask
--                                   again if nobody has it; 1 if the owner is the first that waits, 1 if the
--                                   holder is no dlock client, and the last token of the key
--         {2}                       the owner gave up: this request comes late
--         {3, left}                 no grants for so many ms yet
--         error WRONGTYPE           a key is of another type
--         error DLOCKCORRUPT        the fence is no token

local me, ttl_ms, waits = ARGV[1], ARGV[2], ARGV[3] ~= '0'
local barging, prefix = ARGV[4] == '1', ARGV[5] or ''

-- Before the first write: an error later on would not undo it.
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

-- A gap, or there were too many dead waiters for one call.
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
