-- with: queue ring groups unique remove held
-- Moves a delivery to the dead letters of the second queue. ARGV: id, token, the queue's name, the head of the letter.
-- Returns 1, or 0 if it is no longer the caller's.
use_queue(2)
check_types()
redis.call('ZCARD', dead)
redis.call('HLEN', letters)
local filed_seq, filed_dead, filed_letters = seq, dead, letters
use_queue(1)
check_types()
local id = ARGV[1]
local _, _, token, group, key, till = unpack_info(redis.call('HGET', info, id))
if token == '' or token ~= ARGV[2] then
  return 0
end
local record = redis.call('HGET', jobs, id)
take_back({ id })
if remove(id, true, group, key, till) then
  ring()
end
local member = string.format('%015.0f', redis.call('INCR', filed_seq)) .. ARGV[3] .. ':' .. id
redis.call('ZADD', filed_dead, 0, member)
redis.call('HSET', filed_letters, member, ARGV[4] .. record)
return 1
