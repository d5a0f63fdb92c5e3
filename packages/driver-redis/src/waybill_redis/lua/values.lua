-- The key-value store: values by name, their names in order, and when they end. An ended one is not there.
local values, names, ends_of = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function find(name)
  local packed = redis.call('HGET', values, name)
  if packed then
    local version, ends, value = cmsgpack.unpack(packed)
    if not ends or ends > now then
      return version, value
    end
  end
end

local function forget(name)
  redis.call('HDEL', values, name)
  redis.call('ZREM', names, name)
  redis.call('ZREM', ends_of, name)
end
