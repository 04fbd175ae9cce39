-- Replaces a value by another.
--
-- KEYS[1] lock
-- ARGV[1] the value it must have
-- ARGV[2] the new one
--
-- Returns 1                replaced
--         0                the key holds something else, or nothing
--         error WRONGTYPE  the key is of another type

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
