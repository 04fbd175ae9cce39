-- What most calls of release.lua come to: the owner has the lock, no owner waits, and no request is under way.

local head
local is_usual = (ARGV[2] or '0') == '0' and ARGV[3] ~= '1' and (ARGV[5] or '0') == '0' and (ARGV[7] or '0') == '0'
if is_usual then
  local holder = redis.call('GET', lock)
  if holder and string.find(holder, ARGV[1], 1, true) == 1 then
    local waiters = redis.pcall('ZRANGE', queue, '0', '0')
    head = waiters[1]
    if not head and not waiters.err then return redis.call('DEL', lock) end
  end
end

