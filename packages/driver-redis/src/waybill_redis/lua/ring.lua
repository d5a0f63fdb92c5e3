-- Wakes one waiting receiver: it takes the token out of the list, and passes one on if there is more to do.
local function ring()
  if redis.call('EXISTS', wake) == 0 then
    redis.call('RPUSH', wake, '1')
  end
end

-- When something falls due or a lease ends: the earliest, or nil.
local function next_change()
  local due = tonumber(redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2])
  local ends = tonumber(redis.call('ZRANGE', leased, 0, 0, 'WITHSCORES')[2])
  if due and ends then
    return math.min(due, ends)
  end
  return due or ends
end
