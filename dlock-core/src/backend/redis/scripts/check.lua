-- Tries every command that the other scripts use, on keys of its own that it leaves no trace of.
--
-- KEYS[1] a string   KEYS[2] a sorted set   KEYS[3] the counter, which is only named: all may have to lie in one slot
-- ARGV[1] the channel of the caller's own inbox   ARGV[2] PUBLISH or SPUBLISH
-- ARGV[3] 1 if INFO is needed
--
-- Returns two lists of what the server refused, each command and the server's words: commands that are needed, and
-- those that the scripts can do without

local text, set = KEYS[1], KEYS[2]
local refused, spared = {}, {}

local function try_for(list, ...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    list[#list + 1] = select(1, ...) .. ': ' .. answer.err
  end
end

local function try(...)
  try_for(refused, ...)
end

try('TIME')
try('SET', text, '1', 'NX', 'PX', '1000')
try('SET', text, '1', 'GET')
try('GET', text)
try('MGET', text)
try('EXISTS', text, set)
try('PTTL', text)
try('PEXPIRE', text, '1000')
try('ZADD', set, '1', 'a')
try('ZSCORE', set, 'a')
try('ZRANK', set, 'a')
try('ZRANGE', set, '0', '0')
try('ZREM', set, 'a')
try('ZREMRANGEBYSCORE', set, '-inf', '0')
try('DEL', text, set)
try(ARGV[2], ARGV[1], '')
if ARGV[3] == '1' then try('INFO', 'server') end
if ARGV[2] == 'PUBLISH' then
  try_for(spared, 'PUBSUB', 'NUMPAT')
  try_for(spared, 'PUBSUB', 'NUMSUB', ARGV[1])
end
return {refused, spared}
