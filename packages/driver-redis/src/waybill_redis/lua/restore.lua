-- with: queue ring groups unique admit
-- Sends dead letters of the second queue back to the first, as if they were new; a unique key is taken again if it is
-- free. ARGV: how many, then of each the member, id, record, shape, group and key. Returns how many.
use_queue(2)
redis.call('ZCARD', dead)
redis.call('HLEN', letters)
local filed_dead, filed_letters = dead, letters
use_queue(1)
check_types()
local restored = 0
for number = 1, tonumber(ARGV[1]) do
  local at = number * 6 - 4
  if redis.call('ZREM', filed_dead, ARGV[at]) == 1 then
    redis.call('HDEL', filed_letters, ARGV[at])
    restored = restored + 1
    admit(redis.call('INCR', seq), ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], false)
  end
end
admitted()
return restored
