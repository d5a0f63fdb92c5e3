-- Brings forward what has become due and takes back what was leased too long, at most `limit` of each.
-- A lease that ended keeps its token: a late ack is honoured until somebody else has the job.
local function bring_forward(limit)
  local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
  if #due > 0 then
    local ids, of_groups, scores = {}, {}, {}
    for at = 1, #due, 2 do
      ids[#ids + 1] = due[at]
    end
    redis.call('ZREM', delayed, unpack(ids))
    for number, packed in ipairs(redis.call('HMGET', info, unpack(ids))) do
      local place, attempt, _, group = unpack_info(packed)
      if group then
        of_groups[#of_groups + 1] = { tonumber(due[number * 2]), place, ids[number], group, attempt > 0 }
      else
        scores[#scores + 1] = place
        scores[#scores + 1] = ids[number]
      end
    end
    if #scores > 0 then
      redis.call('ZADD', ready, unpack(scores))
    end
    -- Who is due first becomes the head; of those due together, who was sent first.
    table.sort(of_groups, function(one, other)
      return one[1] < other[1] or (one[1] == other[1] and one[2] % PLACES < other[2] % PLACES)
    end)
    for _, each in ipairs(of_groups) do
      make_ready(each[3], each[2], each[4], each[5])
    end
  end

  local ended = redis.call('ZRANGEBYSCORE', leased, '-inf', now, 'LIMIT', 0, limit)
  if #ended > 0 then
    local scores = {}
    redis.call('ZREM', leased, unpack(ended))
    for number, packed in ipairs(redis.call('HMGET', info, unpack(ended))) do
      scores[#scores + 1] = (unpack_info(packed))
      scores[#scores + 1] = ended[number]
    end
    redis.call('ZADD', ready, unpack(scores))
  end
end
