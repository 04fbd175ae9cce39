-- The tokens of a lock, as its fence keeps them. `fence` is as in keys.lua.

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
  local token = string.find(text, '^%d+$') and tonumber(text)
  return token and token < 9007199254740991 - (LONGEST_WALK + 1) * TOKENS and token or nil
end

-- The first token of the next block (I2).
local function issue_tokens(last)
  local now = server_micros()
  local first = math.max(last + 1, now)
  write_fence(fence, last, first + TOKENS - 1, now)
  return first
end

