-- What most acquires come to: the lock is free, nobody waits, and nothing is noted about it. All else is left to what
-- follows, before the first write.

-- How many there are of the lock, 1, the queue, 1, and the marks, 2: a key that is named twice counts twice.
local there = redis.call('EXISTS', lock, queue, marks, marks)
local is_usual = (ARGV[6] or '0') == '0'

if is_usual and there == 0 then
  local last, time = token_in(redis.pcall('GET', fence)), redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  -- A fence ahead of the clock is for tokens.lua. What EXISTS does not count, a SET destroys no part of.
  if last and last < now and redis.pcall('SET', lock, ARGV[1], 'PX', ARGV[2]).ok then
    write_fence(fence, last, now + TOKENS - 1, now)
    return now
  end
end

