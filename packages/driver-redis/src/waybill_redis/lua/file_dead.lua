-- with: queue
-- Files a dead letter. ARGV: where it comes from and its id, as "<queue>:<id>"; the letter.
redis.call('ZCARD', dead)
redis.call('HLEN', letters)
local member = string.format('%015.0f', redis.call('INCR', seq)) .. ARGV[1]
redis.call('ZADD', dead, 0, member)
redis.call('HSET', letters, member, ARGV[2])
return 1
