-- Ends the BLPOP of one receiver, which has put this key behind those of its queues. KEYS: that key. What nobody has
-- taken, as the BLPOP had ended already, the next one takes, or it is gone after a minute.
redis.call('RPUSH', KEYS[1], '1')
redis.pcall('PEXPIRE', KEYS[1], 60000)
return 0
