-- What most calls of release.lua come to: the owner has the lock, nobody waits, and no request is under way.
local queued = redis.call('EXISTS', queue) == 1
if not queued and (ARGV[2] or '0') == '0' and redis.call('GET', lock) == ARGV[1] then
  return redis.call('DEL', lock)
end

