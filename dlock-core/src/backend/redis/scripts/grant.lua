-- Shared by acquire.lua and release.lua, which put it before their own text.
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

-- The fence outlives every lease by far; its loss does no harm while the server's clock does not step back.
local FENCE_TTL_MS = 604800000
-- Each grant gets so many tokens: the process hands the lock over to as many of its own.
local TOKENS = 64
-- Dead waiters passed over in one call. Those behind them ask again by themselves.
local LONGEST_WALK = 64

local function server_micros()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function server_millis()
  return math.floor(server_micros() / 1000)
end

-- The last token, or nil if something else stands there. 2^53 is where a Lua number stops being exact; one
-- call hands out no more tokens than are kept free below it.
local function last_token()
  local text = redis.call('GET', fence)
  if not text then return 0 end
  local token = string.match(text, '^%d+$') and tonumber(text)
  return token and token < 9007199254740991 - (LONGEST_WALK + 1) * TOKENS and token or nil
end

-- The first token of the next block (I2).
local function issue_tokens(last)
  local first = math.max(last + 1, server_micros())
  redis.call('SET', fence, string.format('%.0f', first + TOKENS - 1), 'PX', FENCE_TTL_MS)
  return first
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

-- How many processes heard the message to an inbox. `prefix` is that of the shard channels of this slot; on
-- a server that is not part of a cluster there is none.
local function tell(prefix, inbox, message)
  if prefix ~= '' then return redis.call('SPUBLISH', prefix .. inbox, message) end
  return redis.call('PUBLISH', 'dlock:i:' .. inbox, message)
end

-- Grants the free lock to the first waiter whose process listens. `me` is granted by the caller instead.
-- Returns 'me', 'other', 'nobody' if the queue is empty, or 'unknown' after the longest walk; and the last token.
local function hand_off(prefix, me, last)
  for _ = 1, LONGEST_WALK do
    local head = redis.call('ZRANGE', queue, 0, 0)[1]
    if not head then return 'nobody', last end
    if head == me then return 'me', last end
    local inbox, ttl_ms = string.match(head, '^dl1|(%x+)|%x+|(%d+)$')
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
    local inbox = string.match(head, '^dl1|(%x+)|%x+|%d+$')
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
