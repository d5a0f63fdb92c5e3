-- with: queue
-- How many are ready, delayed, leased and dead at this moment, whatever has been noticed of it.
local due, ended = redis.call('ZCOUNT', delayed, '-inf', now), redis.call('ZCOUNT', leased, '-inf', now)
return {
  redis.call('ZCARD', ready) + redis.call('ZCARD', behind) + due + ended,
  redis.call('ZCARD', delayed) - due,
  redis.call('ZCARD', leased) - ended,
  redis.call('ZCARD', dead),
}
