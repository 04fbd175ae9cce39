-- Makes an owner leave, as holder and as waiter, and hands the free lock to the next waiter.
--
-- KEYS    as in keys.lua
-- ARGV[1] owner
-- The following may be left out, together with all behind it, where all of them are as said in brackets:
-- ARGV[2] how long a request of this owner may still be under way, in ms; 0 if there can be none [0]
-- ARGV[3] 1 if the next waiter is only told that the lock is free [0]
-- ARGV[4] prefix of the shard channels of this slot []
-- ARGV[5] as ARGV[6] of acquire.lua [0]
-- ARGV[6] how long at least between two gaps, in ms [0]
-- ARGV[7] how long a gap is, in ms; 0 for none [0]
--
-- Returns 1                the owner had the lock
--         0                it had not. If the lock was taken away from it, the lock is open from here on
--         error WRONGTYPE  the lock is of another type; or the marks are, and the lock is released. If any other key
--                          is of another type, the lock is released without an error, and handed to no waiter

local me, late_ms = ARGV[1], tonumber(ARGV[2] or 0)
local barging, prefix, quarantine_ms = ARGV[3] == '1', ARGV[4] or '', tonumber(ARGV[5] or 0)
local between_ms, gap_ms = tonumber(ARGV[6] or 0), tonumber(ARGV[7] or 0)

-- How long gaps are remembered after a release to a queue.
local GAP_MEMORY_MS = 60000

-- Notes for `keep_ms` at least.
local function note(score, member, keep_ms)
  redis.call('ZADD', marks, score, member)
  if redis.call('PTTL', marks) < keep_ms then redis.call('PEXPIRE', marks, keep_ms) end
end

-- Whether a gap begins now, or is open. The first one is due some time after the first release to a queue.
local function is_gap()
  if gap_ms == 0 then return false end
  local now = server_millis()
  if gap_left(now) > 0 then return true end
  local next = redis.call('ZSCORE', marks, '|next')
  -- It is further away than it can be: the clock went back.
  local until_next = next and -tonumber(next) - now or 0
  if until_next > 0 and until_next <= between_ms + gap_ms then return false end
  if not next then
    note(-(now + between_ms), '|next', between_ms + GAP_MEMORY_MS)
    return false
  end
  note(now + gap_ms, '|gap', gap_ms)
  note(-gap_ms, '|length', gap_ms)
  note(-(now + gap_ms + between_ms), '|next', gap_ms + between_ms + GAP_MEMORY_MS)
  return true
end

local function pass_on()
  if barging or is_gap() or quarantine_left(quarantine_ms) > 0 then return wake_first(prefix) end
  hand_off(prefix, nil, passed)
end

-- Whether the lock was taken away from this owner. It leaves once its guard is over, so the lock is closed no longer.
local function is_taken_from(holder, owner)
  local who = string.match(owner, '^dl2|%x+|%x+|')
  return who and is_of(holder, who) and string.find(holder, '^%d+!', #who + 1)
end

local queued = redis.call('EXISTS', queue) == 1 or passed > 0
local had_it = passed > 0 or is_of(redis.call('GET', lock), me)
if had_it then
  -- First, because a full server refuses a SET as a script's first write, but not after another write.
  redis.call('DEL', lock)
else
  if is_taken_from(redis.call('GET', lock), me) then redis.call('DEL', lock) end
  if queued then redis.call('ZREM', queue, me) end
end

-- A hand-off that is refused leaves a free lock, which the waiters find by asking again.
if queued and (had_it or redis.call('EXISTS', lock) == 0) then pcall(pass_on) end

-- Last, because memory pressure may refuse it; then the late request costs one lease (I7).
if late_ms > 0 then
  local now = server_millis()
  redis.call('ZREMRANGEBYSCORE', marks, '(0', now)
  note(now + late_ms, me, late_ms)
end

return had_it and 1 or 0
