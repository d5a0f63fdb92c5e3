-- with: queue
-- The letters of these members.
return redis.call('HMGET', letters, unpack(ARGV))
