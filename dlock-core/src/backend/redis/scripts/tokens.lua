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

