-- with: queue
-- Removes some dead letters up to the last one. ARGV: the last; how many. Returns how many.
redis.call('HLEN', letters)
local members = redis.call('ZRANGEBYLEX', dead, '-', '[' .. ARGV[1], 'LIMIT', 0, ARGV[2])
if #members > 0 then
  redis.call('ZREM', dead, unpack(members))
  redis.call('HDEL', letters, unpack(members))
end
return #members
