-- Of a group only its head is ready, leased, or delayed after a run. All others that are due stand behind it, in the
-- order of sending: `behind` is sorted by "<group>\0<order><rank><id>".
local function line_member(group, place, id)
  local rank = math.floor(place / PLACES)
  return group .. '\0' .. string.format('%015.0f', place - rank * PLACES) .. rank .. id
end

local function make_ready(id, place, group, is_head)
  if group and not is_head and redis.call('HSETNX', heads, group, id) == 0 then
    redis.call('ZADD', behind, 0, line_member(group, place, id))
  else
    redis.call('ZADD', ready, place, id)
  end
end

-- The head has left: the next one comes forward. Returns whether there was one.
local function let_next_come(group)
  local member = redis.call('ZRANGEBYLEX', behind, '[' .. group .. '\0', '(' .. group .. '\1', 'LIMIT', 0, 1)[1]
  if not member then
    redis.call('HDEL', heads, group)
    return false
  end
  local at = #group + 2
  local order, rank, id = string.sub(member, at, at + 14), string.sub(member, at + 15, at + 15), string.sub(member, at + 16)
  redis.call('ZREM', behind, member)
  redis.call('HSET', heads, group, id)
  redis.call('ZADD', ready, rank * PLACES + order, id)
  return true
end
