-- Renews the owner's lease. A lock that is gone is not made again.
--
-- KEYS[1] lock
-- ARGV[1] owner, as in keys.lua
-- ARGV[2] ttl in ms
--
-- Returns 1                renewed
--         0                the owner does not have the lock
--         error WRONGTYPE  the key is of another type

local holder = redis.call('GET', KEYS[1])
if not holder or string.find(holder, ARGV[1], 1, true) ~= 1 then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
