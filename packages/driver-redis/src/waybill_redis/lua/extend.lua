-- with: queue held
-- A full lease again, from now. ARGV: the lease, then id and token of each. Returns the end of the leases and the
-- numbers of those that are no longer the caller's.
check_types()
local until_, ids, held, leases = now + ARGV[1], {}, {}, {}
local reply = { until_ }
for at = 2, #ARGV, 2 do
  ids[#ids + 1] = ARGV[at]
end
for number, packed in ipairs(infos_of(ids)) do
  local _, _, token = unpack_info(packed)
  if token ~= '' and token == ARGV[number * 2 + 1] then
    held[#held + 1] = ids[number]
    leases[#leases + 1] = until_
    leases[#leases + 1] = ids[number]
  else
    reply[#reply + 1] = number
  end
end
if #held > 0 then
  take_back(held) -- first, as a full server lets a script write only after it has freed something
  redis.call('ZADD', leased, unpack(leases))
end
return reply
