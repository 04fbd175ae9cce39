-- Takes a lock whose value is the time of its end, by the clock of the client that took it. The lock must be free, or its
-- time over.
--
-- KEYS[1] lock
-- ARGV[1] now, in ms since 1970
-- ARGV[2] when the new lease ends, in ms since 1970
--
-- Returns {1, micros}       taken; the server's time in microseconds
--         {0, end}          another has it until then, in ms since 1970
--         {-1}              the key holds no time
--         error WRONGTYPE   the key is of another type

local lock, now, mine = KEYS[1], tonumber(ARGV[1]), ARGV[2]

local function taken()
  local time = redis.call('TIME')
  return {1, tonumber(time[1]) * 1000000 + tonumber(time[2])}
end

if redis.call('SETNX', lock, mine) == 1 then return taken() end

local ends = tonumber(string.match(redis.call('GET', lock), '^(%d+)%.?%d*$'))
if not ends then return {-1} end
-- Some write seconds: as milliseconds such a number lies in 1970, as seconds the other in the year 5138.
if ends < 100000000000 then ends = ends * 1000 end
if ends >= now then return {0, ends} end

-- Nothing runs between the GET and this, so what is replaced is the stale value and nothing newer.
redis.call('GETSET', lock, mine)
return taken()
