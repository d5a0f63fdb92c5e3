-- with: queue ring groups unique held
-- Removes what is done. ARGV: id and token of each. Returns the numbers of those that are no longer the caller's.
check_types()
local ids, lost, gone, groups = {}, {}, {}, {}
for at = 1, #ARGV, 2 do
  ids[#ids + 1] = ARGV[at]
end
for number, packed in ipairs(infos_of(ids)) do
  local _, _, token, group, key, till = unpack_info(packed)
  if token ~= '' and token == ARGV[number * 2] and not gone[ids[number]] then
    gone[ids[number]] = true
    gone[#gone + 1] = ids[number]
    if group then
      groups[#groups + 1] = group
    end
    if key and till ~= 'w' then
      free_key(key, ids[number])
    end
  else
    lost[#lost + 1] = number
  end
end
if #gone > 0 then
  take_back(gone)
  redis.call('HDEL', info, unpack(gone))
  redis.call('HDEL', jobs, unpack(gone))
end
local came = false
for _, group in ipairs(groups) do
  came = let_next_come(group) or came
end
if came then
  ring()
end
return lost
