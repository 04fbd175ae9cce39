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

