-- The keys and the tokens of a lock. acquire.lua and release.lua put it before their own text, and after it what
-- most calls come to; then only the others define the rest.
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
