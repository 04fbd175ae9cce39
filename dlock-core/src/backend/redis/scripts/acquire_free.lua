-- What most calls of acquire.lua come to: nobody waits, nothing is noted, the lock is free.
if (ARGV[7] or '0') == '0' and redis.call('EXISTS', queue, marks) == 0 then
  -- Before the first write: an error later on would not undo it.
  local last = last_token()
  if last and redis.call('SET', lock, ARGV[1], 'NX', 'PX', ARGV[2]) then return {1, issue_tokens(last)} end
end
