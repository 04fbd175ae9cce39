-- Returns the holder and the waiters of a lock. Changes nothing.
--
-- KEYS    as in keys.lua, the first two
-- ARGV[1] how many waiters to name
-- ARGV[2] an owner whose place is asked for; nothing if none is
--
-- Returns {now, holder, left, place, waiters}: the server's time in microseconds, as text; what the lock holds, empty if it
--                             is free; what is left of the lease in ms (-1: it never expires); how many are ahead
--                             of the owner in the queue, -1 if it is not there; the first waiters, each with the time of its
--                             arrival in microseconds
--         error WRONGTYPE     a key is of another type

local time = redis.call('TIME')
local micros = time[2]
if #micros < 6 then micros = string.sub('00000' .. micros, -6) end
local place = ARGV[2] and redis.call('ZRANK', KEYS[2], ARGV[2])
local many = tonumber(ARGV[1])
local waiters = many > 0 and redis.call('ZRANGE', KEYS[2], 0, many - 1, 'WITHSCORES') or {}
return {time[1] .. micros, redis.call('GET', KEYS[1]) or '', redis.call('PTTL', KEYS[1]), place or -1, waiters}
