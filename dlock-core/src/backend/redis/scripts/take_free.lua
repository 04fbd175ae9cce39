-- Takes a lock that is free, that nobody waits for and that nothing is noted about: what most acquires come to.
-- `lock` to `marks` are as in keys.lua; `now` is the server's time in microseconds, if it is known already.
--
-- Returns the first token of a block (I2), as tokens.lua issues it; or nil if there is more to be done than this.
-- It raises nothing, and gives up before the first write.
local function take_free(lock, queue, fence, marks, owner, ttl_ms, now)
  if redis.call('EXISTS', queue, marks) > 0 then return nil end
  local text = redis.pcall('GET', fence)
  local last = not text and 0 or type(text) == 'string' and string.find(text, '^[1-9]%d*$') and tonumber(text)
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000000 + time[2]
  end
  -- A fence ahead of the clock, or written otherwise than the server writes a number, is for tokens.lua.
  if not last or last >= now then return nil end
  local taken = redis.pcall('SET', lock, owner, 'NX', 'PX', ttl_ms)
  if not taken or taken.err then return nil end
  local newest, HOUR = now + 63, 3600000000
  -- To count up takes less time than to write. Once an hour the fence's time to live begins anew.
  if math.floor(last / HOUR) == math.floor(newest / HOUR) then
    redis.call('INCRBY', fence, newest - last)
  else
    redis.call('SET', fence, string.format('%.0f', newest), 'PX', 604800000)
  end
  return now
end

