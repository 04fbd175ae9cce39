-- What most requests come to, for many locks in one call: free locks are granted, and who has a lock releases or
-- renews it. Whatever is more than that is left as it is, to be asked for alone.
--
-- KEYS     of the acquires: their locks, their fences, then of each the queue and the marks; of the releases: their
--          locks, their queues; of the renewals: their locks. All as in keys.lua
-- ARGV[1]  ttl in ms
-- ARGV[2]  how many acquires
-- ARGV[3]  how many releases
-- ARGV[4]  and so on: the owners, in the order of their locks
--
-- Returns a number for each owner: the first token of its block, 1 if it released or renewed, 0 if it is to ask alone.
-- Nothing is raised, since what is done already for some must not fail for others.

local ttl_ms, acquires, releases = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local renewals = #ARGV - 3 - acquires - releases
local answers = {}

-- The keys from `from` to `to`, asked for in one command. Nothing if it is refused.
local function ask(command, from, to)
  local answer = redis.pcall(command, unpack(KEYS, from, to))
  return type(answer) == 'table' and answer.err and nil or answer
end

-- Whether there is none of the keys from `from` to `to`.
local function none_of(from, to)
  return ask('EXISTS', from, to) == 0
end

-- Free locks. By MGET a key of another type reads as nothing; SET NX leaves it alone.
if acquires > 0 then
  local fences, beside = acquires, 2 * acquires
  local nobody_waits = none_of(beside + 1, 2 * beside)
  local texts = ask('MGET', fences + 1, 2 * fences) or {}
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  for i = 1, acquires do
    -- Each with a token of its own, so that nobody can take another's answer for its own without being noticed.
    local first = now + i
    -- By MGET a fence of another type reads as none.
    local last = token_in(texts[i] or redis.pcall('GET', KEYS[fences + i]))
    local is_usual = last and last < first and (nobody_waits or none_of(beside + 2 * i - 1, beside + 2 * i))
    local taken = is_usual and redis.pcall('SET', KEYS[i], ARGV[i + 3], 'NX', 'PX', ttl_ms)
    answers[i] = taken and taken.ok and first or 0
    if answers[i] > 0 then write_fence(KEYS[fences + i], last, first + TOKENS - 1, first) end
  end
end

-- Who has the `many` locks behind that key. Nobody where this is not known.
local function holders_of(keys, many)
  return ask('MGET', keys + 1, keys + many) or {}
end

if releases > 0 then
  local locks, owners = 4 * acquires, 3 + acquires
  local queues = locks + releases
  local nobody_waits, holders = none_of(queues + 1, queues + releases), holders_of(locks, releases)
  local free = {}
  for i = 1, releases do
    local is_freed = holders[i] == ARGV[owners + i] and (nobody_waits or none_of(queues + i, queues + i))
    answers[acquires + i] = is_freed and 1 or 0
    if is_freed then free[#free + 1] = KEYS[locks + i] end
  end
  if #free > 0 then redis.call('DEL', unpack(free)) end
end

if renewals > 0 then
  local locks, owners = 4 * acquires + 2 * releases, 3 + acquires + releases
  local holders = holders_of(locks, renewals)
  for i = 1, renewals do
    local has_it = holders[i] == ARGV[owners + i]
    answers[acquires + releases + i] = has_it and redis.call('PEXPIRE', KEYS[locks + i], ttl_ms) or 0
  end
end
return answers
