-- Shared by acquire.lua and release.lua, which put it before their own text.
--
-- KEYS[1] lock   the string key itself: the owner that has the lock
-- KEYS[2] queue  sorted set of waiting owners, by server time of arrival
-- KEYS[3] fence  the last token of this key
-- KEYS[4] given up  sorted set of owners that gave up without knowing what became of their requests, by the
--                server time in ms until which such a request may still come
--
-- An owner is dl1|<inbox>|<id>|<ttl in ms>. The message of a hand-off is <owner>|<token>.

local lock, queue, fence, given_up = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

-- The fence outlives every lease by far; its loss does no harm while the server's clock does not step back.
local FENCE_TTL_MS = 604800000
-- Dead waiters passed over in one call. Those behind them ask again by themselves.
local LONGEST_WALK = 64

local function server_micros()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- The last token, or nil if something else stands there. 2^53 is where a Lua number stops being exact.
local function last_token()
  local text = redis.call('GET', fence)
  if not text then return 0 end
  local token = string.match(text, '^%d+$') and tonumber(text)
  return token and token < 9007199254740991 and token or nil
end

-- The next token (I2).
local function issue_token(last)
  local token = math.max(last + 1, server_micros())
  redis.call('SET', fence, string.format('%.0f', token), 'PX', FENCE_TTL_MS)
  return token
end

-- Makes `owner` the holder.
local function grant(owner, ttl_ms, last)
  redis.call('SET', lock, owner, 'PX', ttl_ms)
  return issue_token(last)
end

-- Grants the free lock to the first waiter whose process listens. `me` is granted by the caller instead.
-- Returns 'me', 'other', 'nobody' if the queue is empty, or 'unknown' after the longest walk.
local function hand_off(me, last)
  for _ = 1, LONGEST_WALK do
    local head = redis.call('ZRANGE', queue, 0, 0)[1]
    if not head then return 'nobody' end
    if head == me then return 'me' end
    local inbox, ttl_ms = string.match(head, '^dl1|(%x+)|%x+|(%d+)$')
    if inbox then
      last = grant(head, ttl_ms, last)
      redis.call('ZREM', queue, head)
      local message = head .. '|' .. string.format('%.0f', last)
      if redis.call('PUBLISH', 'dlock:i:' .. inbox, message) > 0 then return 'other' end
      redis.call('DEL', lock)
    else
      redis.call('ZREM', queue, head)
    end
  end
  return 'unknown'
end
