-- What most other releases come to: the owner has the lock, and the first waiter listens. Another order of things is left
-- to release.lua.

-- How many dead waiters were passed over: none, or one, which then has the lock in the owner's place.
local passed = 0

if queued and (ARGV[2] or '0') == '0' and ARGV[3] ~= '1' and (ARGV[5] or '0') == '0' and (ARGV[7] or '0') == '0'
  and redis.call('GET', lock) == ARGV[1] then
  local head = redis.pcall('ZRANGE', queue, '0', '0')[1] or ''
  local inbox, ttl_ms = string.match(head, OWNER)
  local last = inbox and tonumber(redis.pcall('GET', fence))
  if last then
    local time = redis.call('TIME')
    local first = time[1] .. string.sub('00000' .. time[2], -6)
    local newest = first + TOKENS - 1
    local step = newest - last
    -- A fence that is only to be counted up, as write_fence has it. The server does not count what is no whole number as
    -- it writes them itself; and a full server refuses this as a script's first write, but not the SET after it.
    if step >= TOKENS and step <= newest % 3600000000 and type(redis.pcall('INCRBY', fence, step)) == 'number'
      and redis.pcall('SET', lock, head, 'PX', ttl_ms).ok then
      redis.call('ZREM', queue, head)
      local told, heard = pcall(tell, ARGV[4] or '', inbox, head .. '|' .. first .. '|' .. lock)
      -- A waiter that cannot be told finds it out by asking again.
      if not told or heard > 0 then return 1 end
      passed = 1
    end
  end
end

