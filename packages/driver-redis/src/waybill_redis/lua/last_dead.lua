-- with: queue
-- The newest dead letter there is now: what comes later is left alone.
return redis.call('ZREVRANGE', dead, 0, 0)[1]
