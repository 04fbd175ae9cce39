-- The numbers of grants (I2). The process makes a block of tokens of each.
--
-- Each is greater than every number that the counter gave before, and no less than the server's time in microseconds. So
-- numbers rise even if the counter is lost, or if a server goes on that lacks its last writes.

-- The server's time, as text: Lua writes large numbers slowly, and not all of them exactly.
local function server_micros()
  local time = redis.call('TIME')
  local micros = time[2]
  if #micros < 6 then micros = string.sub('00000' .. micros, -6) end
  return time[1] .. micros
end

-- The number that is written in a text; nil if there is none. Numbers of 2^52 and more are none.
local function number_in(text)
  local number = type(text) == 'string' and string.find(text, '^%d+$') and tonumber(text)
  return number and number < 4503599627370495 and number or nil
end

-- The number of the next grant, as text; nil if the server refuses to count. It is counted before the lock is taken, so
-- that no lock is without a number of its own. A counter that holds no number is lost, and starts again from the clock.
local function next_number(counter)
  local now = server_micros()
  -- A clock past the year 2112: its tokens could not be exact, and would not rise once the clock is set right.
  if #now > 16 or #now == 16 and now >= '4503599627370496' then return nil end
  local last = redis.pcall('SET', counter, now, 'GET')
  -- Texts of one length compare as their numbers do.
  if not last or #last == #now and last < now then return now end
  if last.err then
    local is_lost = string.find(last.err, 'WRONGTYPE', 1, true)
    if not is_lost or redis.pcall('SET', counter, now).err then return nil end
  end
  local number = number_in(last)
  if not number then
    redis.log(redis.LOG_WARNING, 'dlock: the counter of tokens held no number; it starts again from the clock')
  elseif number >= tonumber(now) then
    now = string.format('%.0f', number + 1)
    -- After the first write the server refuses none.
    redis.call('SET', counter, now)
  end
  return now
end

