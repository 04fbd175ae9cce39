-- Takes a lock that is free, that nobody waits for and that nothing is noted about: what most acquires come to.
-- `lock` to `marks` are as in keys.lua; `now` is the server's time in microseconds, if it is known already.
--
-- Returns the first token of a block (I2), as tokens.lua issues it. If there is more to be done than this, it gives up
-- before the first write, and returns nil; how many of the queue and the marks there are; the last token, or false if
-- the fence holds something else; and the answer to TIME, if it asked. It raises nothing.
local function take_free(lock, queue, fence, marks, owner, ttl_ms, now)
  local text = redis.pcall('GET', fence)
  local last = not text and 0 or type(text) == 'string' and string.find(text, '^%d+$') and tonumber(text)
  local beside = redis.call('EXISTS', queue, marks)
  if beside > 0 then return nil, beside, last end
  local time
  if not now then
    time = redis.call('TIME')
    now = time[1] * 1000000 + time[2]
  end
  -- A fence ahead of the clock is for tokens.lua.
  if not last or last >= now then return nil, beside, last, time end
  local taken = redis.pcall('SET', lock, owner, 'NX', 'PX', ttl_ms)
  if not taken or taken.err then return nil, beside, last, time end
  write_fence(fence, last, now + 63, now)
  return now
end

