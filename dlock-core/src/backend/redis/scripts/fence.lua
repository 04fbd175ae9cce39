-- Makes `newest` the last token, where `last` was; `now` is the server's time in microseconds. To count up takes less
-- time than to write, but leaves the fence's time to live: once an hour, and while the fence is ahead of the clock, that
-- begins anew. It is longer than every lease by far; that the fence ends does no harm while the server's clock does not
-- step back.
local function write_fence(fence, last, newest, now)
  local step = newest - last
  local counts = last > 0 and last < now and step <= newest % 3600000000
  -- A number that others wrote with zeros before it is none that the server counts.
  if counts and type(redis.pcall('INCRBY', fence, step)) == 'number' then return end
  redis.call('SET', fence, newest, 'PX', 604800000)
end

