-- with: queue held
-- The record of a delivery. ARGV: id, token. Nothing if it is no longer the caller's.
local _, _, token = unpack_info(redis.call('HGET', info, ARGV[1]))
if token == '' or token ~= ARGV[2] then
  return false
end
return redis.call('HGET', jobs, ARGV[1])
