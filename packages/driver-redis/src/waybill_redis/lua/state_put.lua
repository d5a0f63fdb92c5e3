-- with: values
-- Stores a value. ARGV: name, value, its new version, the version that is expected ('': none), microseconds to keep it
-- ('': for ever). Returns 1, or 0 if another version is there.
redis.call('ZCARD', names)
redis.call('ZCARD', ends_of)
if (find(ARGV[1]) or '') ~= ARGV[4] then
  return 0
end
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', ends_of, '-inf', now, 'LIMIT', 0, 20)) do
  forget(ended)
end
local ends = ARGV[5] ~= '' and now + ARGV[5]
redis.call('ZREM', ends_of, ARGV[1])
redis.call('HSET', values, ARGV[1], cmsgpack.pack(ARGV[3], ends, ARGV[2]))
redis.call('ZADD', names, 0, ARGV[1])
if ends then
  redis.call('ZADD', ends_of, ends, ARGV[1])
end
return 1
