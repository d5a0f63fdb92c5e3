-- with: queue ring groups unique admit
-- Stores what was dead as if it were new; a unique key is taken again if it is free. ARGV: how many, then of each id,
-- record, shape, group and key.
check_types()
for number = 1, tonumber(ARGV[1]) do
  local at = number * 5 - 3
  admit(redis.call('INCR', seq), ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], false)
end
admitted()
return 1
