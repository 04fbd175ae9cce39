-- What most other releases come to: the owner has the lock, and the first waiter, the head, listens. Another order of
-- things is left to release.lua.

-- How many dead waiters were passed over: none, or one, which then has the lock in the owner's place.
local passed = 0

if head then
  local inbox, ttl_ms = string.match(head, WAITER)
  -- A full server refuses to count as a script's first write; release.lua begins with another.
  local number = inbox and next_number(counter)
  if number and redis.pcall('SET', lock, head .. number, 'PX', ttl_ms).ok then
    redis.call('ZREM', queue, head)
    local told, heard = pcall(tell, ARGV[4] or '', inbox, head .. number .. '|' .. lock)
    -- A waiter that cannot be told finds it out by asking again.
    if not told or heard > 0 then return 1 end
    passed = 1
  end
end

