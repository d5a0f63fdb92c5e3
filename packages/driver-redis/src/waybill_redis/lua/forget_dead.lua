-- with: queue
-- Removes these dead letters. ARGV: their members. Returns how many were there.
redis.call('HLEN', letters)
local removed = redis.call('ZREM', dead, unpack(ARGV))
redis.call('HDEL', letters, unpack(ARGV))
return removed
