local beside
if (ARGV[6] or '0') == '0' then
  local token
  token, beside = take_free(lock, queue, fence, marks, ARGV[1], ARGV[2])
  if token then return token end
end

