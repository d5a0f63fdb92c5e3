-- with: queue ring groups held
-- Gives back for another attempt. ARGV: 1 if the attempt is spent, else 0; then of each id, token and delay.
-- Returns the numbers of those that are no longer the caller's.
check_types()
local spent, ids, lost = tonumber(ARGV[1]), {}, {}
for at = 2, #ARGV, 3 do
  ids[#ids + 1] = ARGV[at]
end
for number, packed in ipairs(infos_of(ids)) do
  local id, place, attempt, token, group, key, till = ids[number], unpack_info(packed)
  if ids[id] or token == '' or token ~= ARGV[number * 3] then
    lost[#lost + 1] = number
  else
    local delay = tonumber(ARGV[number * 3 + 1])
    ids[id] = true
    attempt = attempt - 1 + spent
    take_back({ id })
    redis.call('HSET', info, id, pack_info(place, attempt, '', group, key, till))
    if delay <= 0 then
      redis.call('ZADD', ready, place, id)
    else
      if group and attempt == 0 then -- never begun, so its group does not wait for it
        let_next_come(group)
      end
      redis.call('ZADD', delayed, now + delay, id)
    end
  end
end
if #lost < #ids then
  ring()
end
return lost
