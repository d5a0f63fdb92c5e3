-- with: queue ring groups unique admit
-- Stores messages, each once. ARGV: how many, then of each id, record and shape, and behind a shape group and key.
-- Returns the number and the holder of each whose unique key is held.
check_types()
local count, at, held = tonumber(ARGV[1]), 2, {}
local order = redis.call('INCRBY', seq, count) - count
for number = 1, count do
  local id, record, shape, group, key = ARGV[at], ARGV[at + 1], ARGV[at + 2], nil, nil
  at = at + 3
  if shape ~= '' then
    group, key = ARGV[at], ARGV[at + 1]
    at = at + 2
  end
  local holder = admit(order + number, id, record, shape, group, key, true)
  if holder then
    held[#held + 1] = number
    held[#held + 1] = holder
  end
end
admitted()
return held
