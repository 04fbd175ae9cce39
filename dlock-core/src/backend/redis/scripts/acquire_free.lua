-- What most acquires come to: the lock is free, no owner waits, and there are no marks. All else is left to what
-- follows, before the first write.

-- How many there are of the lock, 1, the queue, 1, and the marks, 2: a key that is named twice counts twice.
local there = redis.call('EXISTS', lock, queue, marks, marks)
local is_usual = (ARGV[6] or '0') == '0'

if is_usual and there == 0 then
  local number = next_number(counter)
  -- What EXISTS does not count, a SET destroys no part of.
  if number and redis.pcall('SET', lock, ARGV[1] .. number, 'PX', ARGV[2]).ok then return number end
end

