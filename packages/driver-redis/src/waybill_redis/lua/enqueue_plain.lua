-- Stores messages that are to run at once and have no more to them, each once. KEYS: jobs, ready, seq, wake.
-- ARGV: id and record of each. All that most jobs need, and so a quarter of the work.
local jobs, ready, seq, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local PLACES, count = 281474976710656, #ARGV / 2
redis.call('ZCARD', ready)
local woken = redis.call('LLEN', wake) > 0
local first, fresh = 9 * PLACES + redis.call('INCRBY', seq, count) - count, {}
for number = 1, count do
  local id = ARGV[number * 2 - 1]
  if redis.call('HSETNX', jobs, id, ARGV[number * 2]) == 1 then
    fresh[#fresh + 1] = first + number
    fresh[#fresh + 1] = id
  end
end
for at = 1, #fresh, 1000 do
  redis.call('ZADD', ready, unpack(fresh, at, math.min(at + 999, #fresh)))
end
if #fresh > 0 and not woken then
  redis.call('RPUSH', wake, '1')
end
return {}
