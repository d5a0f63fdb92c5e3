-- with: queue
-- A page of those that wait for their time, the earliest first. ARGV: id and score of the one after which it begins,
-- or '' and ''; how many. Returns id, score and record of each.
local start = redis.call('ZCOUNT', delayed, '-inf', now)
if ARGV[1] ~= '' then
  local score, rank = redis.call('ZSCORE', delayed, ARGV[1]), redis.call('ZRANK', delayed, ARGV[1])
  if rank and tonumber(score) == tonumber(ARGV[2]) then
    start = math.max(start, rank + 1)
  else
    start = math.max(start, redis.call('ZCOUNT', delayed, '-inf', ARGV[2]))
  end
end
local reply = {}
local found = redis.call('ZRANGE', delayed, start, start + ARGV[3] - 1, 'WITHSCORES')
for at = 1, #found, 2 do
  reply[#reply + 1] = found[at]
  reply[#reply + 1] = tonumber(found[at + 1])
  reply[#reply + 1] = redis.call('HGET', jobs, found[at]) or ''
end
return reply
