-- A unique key and who holds it: "<holder><till><end or false>". A key held until done or start is only worth
-- something while its holder is stored, so nothing can leave one stuck.
local function holder_of(key, id)
  local held = redis.call('HGET', unique, key)
  if held then
    local holder, till, ends = cmsgpack.unpack(held)
    if holder ~= id and (not ends or now < ends) and (till == 'w' or redis.call('HEXISTS', jobs, holder) == 1) then
      return holder
    end
  end
end

local function take_key(key, id, till, window)
  for _, ended in ipairs(redis.call('ZRANGEBYSCORE', windows, '-inf', now, 'LIMIT', 0, 10)) do
    redis.call('ZREM', windows, ended)
    redis.call('HDEL', unique, ended)
  end
  local ends = window ~= '' and now + window
  redis.call('ZREM', windows, key)
  redis.call('HSET', unique, key, cmsgpack.pack(id, till, ends))
  if ends then
    redis.call('ZADD', windows, ends, key)
  end
end

local function free_key(key, id)
  local held = redis.call('HGET', unique, key)
  if held and cmsgpack.unpack(held) == id then
    redis.call('HDEL', unique, key)
    redis.call('ZREM', windows, key)
  end
end
