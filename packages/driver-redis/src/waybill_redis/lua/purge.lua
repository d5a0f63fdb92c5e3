-- with: queue groups unique remove
-- Removes some of what waits. ARGV: how many. Returns how many; those behind go before their heads, or these would
-- come forward one by one.
check_types()
local limit, count = tonumber(ARGV[1]), 0

local function remove_all(ids, are_heads)
  for number, packed in ipairs(#ids > 0 and redis.call('HMGET', info, unpack(ids)) or {}) do
    local _, attempt, _, group, key, till = unpack_info(packed)
    remove(ids[number], are_heads or attempt > 0, group, key, till)
  end
  count = count + #ids
end

local members = redis.call('ZRANGEBYLEX', behind, '-', '+', 'LIMIT', 0, limit)
if #members > 0 then
  local ids = {}
  redis.call('ZREM', behind, unpack(members))
  for number, member in ipairs(members) do
    ids[number] = string.sub(member, string.find(member, '\0', 1, true) + 17)
  end
  remove_all(ids, false)
  return count
end
for _, each in ipairs({ { delayed, '+inf', false }, { ready, '+inf', true }, { leased, now, true } }) do
  local ids = redis.call('ZRANGEBYSCORE', each[1], '-inf', each[2], 'LIMIT', 0, limit)
  if #ids > 0 then
    redis.call('ZREM', each[1], unpack(ids))
    remove_all(ids, each[3])
    return count
  end
end
return 0
