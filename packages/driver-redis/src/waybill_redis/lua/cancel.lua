-- with: queue ring groups unique remove
-- Removes one that nobody has. ARGV: its id. Returns 1, or 0 if it is leased or not stored.
check_types()
local id = ARGV[1]
if redis.call('HEXISTS', jobs, id) == 0 then
  return 0
end
local place, attempt, _, group, key, till = unpack_info(redis.call('HGET', info, id))
local ends = tonumber(redis.call('ZSCORE', leased, id) or nil)
if ends and ends > now then
  return 0
end
local is_head = attempt > 0
if redis.call('ZREM', ready, id) == 1 or redis.call('ZREM', leased, id) == 1 then
  is_head = true
elseif redis.call('ZREM', delayed, id) == 0 and group then
  redis.call('ZREM', behind, line_member(group, place, id))
end
if remove(id, is_head, group, key, till) then
  ring()
end
return 1
