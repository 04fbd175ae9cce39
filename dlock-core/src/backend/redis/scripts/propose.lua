-- Takes the lock on one of several independent servers, under a number that the caller proposes.
--
-- KEYS[1] lock
-- KEYS[2] fence    the greatest number that was agreed to while its owner held the lock here
-- KEYS[3] marks    as in keys.lua: which owners gave up
-- ARGV[1] owner, as in keys.lua
-- ARGV[2] ttl in ms
-- ARGV[3] the number
--
-- Returns {1}                 the owner has the lock here, and the number is agreed to
--         {2, number}         the owner has the lock here, but this number was agreed to already; the owner must
--                             propose a greater one
--         {0, pttl}           another has it
--         {3}                 the owner gave up: this request comes late
--         error WRONGTYPE     a key is of another type
--         error DLOCKCORRUPT  the fence is no number

local lock, fence, marks = KEYS[1], KEYS[2], KEYS[3]
local me, ttl_ms, proposed = ARGV[1], ARGV[2], tonumber(ARGV[3])
-- Outlives every lease by far.
local FENCE_TTL_MS = 604800000

local text = redis.call('GET', fence)
local last = not text and 0 or (string.match(text, '^%d+$') and tonumber(text))
if not last or last >= 9007199254740991 then return redis.error_reply('DLOCKCORRUPT the fence holds no number') end

if redis.call('ZSCORE', marks, me) then return {3} end
if not redis.call('SET', lock, me .. ARGV[3], 'NX', 'PX', ttl_ms) then
  if string.find(redis.call('GET', lock), me, 1, true) ~= 1 then return {0, redis.call('PTTL', lock)} end
  redis.call('PEXPIRE', lock, ttl_ms)
end
if proposed <= last then return {2, last} end
redis.call('SET', fence, ARGV[3], 'PX', FENCE_TTL_MS)
return {1}
