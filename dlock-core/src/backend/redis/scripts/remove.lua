-- Deletes a key if it holds a value.
--
-- KEYS[1] lock
-- ARGV[1] value
--
-- Returns 1                deleted
--         0                the key holds something else, or nothing
--         error WRONGTYPE  the key is of another type

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
