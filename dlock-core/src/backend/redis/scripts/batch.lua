-- What most requests come to, for many locks in one call: free locks are granted, and holders release or renew theirs.
-- Whatever needs more than that is left untouched, to be asked for alone.
--
-- KEYS[1]  counter
-- KEYS[2]  and so on: of the acquires: their locks, then of each the queue and the marks; of the releases: their locks,
--          their queues; of the renewals: their locks. All as in keys.lua
-- ARGV[1]  ttl in ms
-- ARGV[2]  how many acquires
-- ARGV[3]  how many releases
-- ARGV[4]  and so on: the owners, in the order of their locks
--
-- Returns the number of the grants, 0 if there is none; then for each owner 1 if its lock was granted, released or
-- renewed, 0 if it is to ask alone. Numbers rise for each key, so one does for all grants: SET NX grants a key once.
-- Nothing is raised, since what is done already for some must not fail for others.

local counter, ttl_ms, acquires, releases = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local renewals = #ARGV - 3 - acquires - releases
local answers = {0}

-- The keys from `from` to `to`, asked for in one command. Nothing if it is refused.
local function ask(command, from, to)
  local answer = redis.pcall(command, unpack(KEYS, from, to))
  return type(answer) == 'table' and answer.err and nil or answer
end

-- Whether there is none of the keys from `from` to `to`.
local function none_of(from, to)
  return ask('EXISTS', from, to) == 0
end

-- Which of the `many` locks behind that key the owners behind that argument have. By MGET a key of another type reads as
-- nothing, and so does all where it is refused.
local function owned(many, key, argument)
  local holders = ask('MGET', key + 1, key + many) or {}
  for i = 1, many do
    local holder = holders[i]
    holders[i] = holder and string.find(holder, ARGV[argument + i], 1, true) == 1
  end
  return holders
end

if acquires > 0 then
  local beside = 1 + acquires
  local nobody_waits = none_of(beside + 1, beside + 2 * acquires)
  local number = next_number(counter)
  if number then answers[1] = number end
  for i = 1, acquires do
    local is_usual = number and (nobody_waits or none_of(beside + 2 * i - 1, beside + 2 * i))
    local taken = is_usual and redis.pcall('SET', KEYS[1 + i], ARGV[3 + i] .. number, 'NX', 'PX', ttl_ms)
    answers[1 + i] = taken and taken.ok and 1 or 0
  end
end

if releases > 0 then
  local locks, first = 1 + 3 * acquires, acquires
  local queues = locks + releases
  local nobody_waits, mine = none_of(queues + 1, queues + releases), owned(releases, locks, 3 + first)
  local free = {}
  for i = 1, releases do
    local is_freed = mine[i] and (nobody_waits or none_of(queues + i, queues + i))
    answers[1 + first + i] = is_freed and 1 or 0
    if is_freed then free[#free + 1] = KEYS[locks + i] end
  end
  if #free > 0 then redis.call('DEL', unpack(free)) end
end

if renewals > 0 then
  local locks, first = 1 + 3 * acquires + 2 * releases, acquires + releases
  local mine = owned(renewals, locks, 3 + first)
  for i = 1, renewals do
    answers[1 + first + i] = mine[i] and redis.call('PEXPIRE', KEYS[locks + i], ttl_ms) or 0
  end
end
return answers
