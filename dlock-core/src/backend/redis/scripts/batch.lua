-- What most requests come to, for many locks in one call: free locks are granted, and who has a lock releases or
-- renews it. Whatever is more than that is left as it is, to be asked for alone.
--
-- KEYS     of each acquire the four keys of its lock, as in keys.lua; then of each release the lock and the queue;
--          then of each renewal the lock
-- ARGV[1]  ttl in ms
-- ARGV[2]  how many acquires
-- ARGV[3]  how many releases
-- ARGV[4]  and so on: the owners, in the order of their keys
--
-- Returns a number for each owner: the first token of its block, 1 if it released or renewed, 0 if it is to ask alone.
-- Nothing is raised, since what is done already for some must not fail for others.

local ttl_ms, acquires, releases = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local key, answers = 0, {}

local function next_key()
  key = key + 1
  return KEYS[key]
end

local function release(owner)
  local lock, queue = next_key(), next_key()
  if redis.call('EXISTS', queue) > 0 or redis.pcall('GET', lock) ~= owner then return 0 end
  return redis.call('DEL', lock)
end

local function renew(owner)
  local lock = next_key()
  if redis.pcall('GET', lock) ~= owner then return 0 end
  return redis.call('PEXPIRE', lock, ttl_ms)
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for number = 1, #ARGV - 3 do
  local owner = ARGV[number + 3]
  if number <= acquires then
    -- Each with a token of its own, so that nobody can take another's answer for its own without being noticed.
    answers[number] = take_free(next_key(), next_key(), next_key(), next_key(), owner, ttl_ms, now + number) or 0
  elseif number <= acquires + releases then
    answers[number] = release(owner)
  else
    answers[number] = renew(owner)
  end
end
return answers
