-- Takes a lock away from its holder, and keeps it closed: until the holder leaves, which it does once its guard is over, or until
-- what is left of its lease has passed. What stands in the lock then is the holder with a `!` behind its ttl, which is what
-- was left of the lease.
--
-- KEYS    as in keys.lua, the first three
-- ARGV[1] the number of the holder's grant, as text
-- ARGV[2] prefix of the shard channels of this slot []
--
-- Returns {number, left, owner}  it is closed: a number that is greater than that of the holder's grant and of every grant
--                                before, as text; for how many ms at most; the owner that the lock has now. It is told to
--                                the holder as dl2!|<rest of the owner><number>|<lock>. A lock that was taken away before
--                                stays as it is
--         {}                     no owner of dlock has the lock under this number
--         error WRONGTYPE        a key is of another type
--         error DLOCKCORRUPT     the server cannot count: its clock is past the year 2112

local holder = redis.call('GET', lock)
local who, ttl, number = string.match(holder or '', '^(dl2|%x+|%x+|)(%d+[^|]*)|(%d+)$')
if not who or number ~= ARGV[1] then return {} end

local left = redis.call('PTTL', lock)
if string.find(ttl, '^%d+!') then return {number, left, who .. ttl .. '|'} end

-- A lease without an end was cut off by no client of dlock: it ends as long after this as it was asked for.
local asked, label = string.match(ttl, '^(%d+)(.*)$')
if left < 0 or left > tonumber(asked) then left = tonumber(asked) end
if left < 1 then left = 1 end
local fence = next_number(counter)
if not fence then return redis.error_reply('DLOCKCORRUPT the clock of the server is past the year 2112') end
local closed = who .. string.format('%.0f', left) .. '!' .. label .. '|'
redis.call('SET', lock, closed .. fence, 'PX', left)
tell(ARGV[2] or '', string.match(who, '^dl2|(%x+)|'), 'dl2!' .. string.sub(who, 4) .. ttl .. '|' .. number .. '|' .. lock)
return {fence, left, closed}
