local beside, last, time
if (ARGV[6] or '0') == '0' then
  local token
  token, beside, last, time = take_free(lock, queue, fence, marks, ARGV[1], ARGV[2])
  if token then return token end
end

