-- with: queue
-- A page of dead letters, the oldest first. ARGV: the member after which it begins, or ''; how many.
-- Returns member and letter of each.
local start = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local reply = {}
for _, member in ipairs(redis.call('ZRANGEBYLEX', dead, start, '+', 'LIMIT', 0, ARGV[2])) do
  reply[#reply + 1] = member
  reply[#reply + 1] = redis.call('HGET', letters, member)
end
return reply
