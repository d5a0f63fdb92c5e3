-- Stores one message that is not stored yet. Returns the holder of its unique key if that is another.
-- shape: '' for a plain message to be run now, or rank, n(ow) i(n) a(t) and microseconds, g(roup) or -, till or -,
-- the microseconds of the key's window.
local fresh = {} -- plain ones, for one ZADD
local woken = false -- whether a receiver should look
local first_due = tonumber(redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2])

local function admit(order, id, record, shape, group, key, must_have_key)
  if shape == '' then
    if redis.call('HSETNX', jobs, id, record) == 1 then
      fresh[#fresh + 1] = 9 * PLACES + order
      fresh[#fresh + 1] = id
    end
    return
  end
  if redis.call('HEXISTS', jobs, id) == 1 then
    return
  end
  local rank, how, span, grouped, till, window = string.match(shape, '^(%d)([nia])(%-?%d*)([g%-])([dsw%-])(%d*)$')
  group = grouped == 'g' and group
  key = till ~= '-' and key
  if key then
    local holder = holder_of(key, id)
    if not holder then
      take_key(key, id, till, window)
    elseif must_have_key then
      return holder
    end
  end
  local place, due = rank * PLACES + order, now
  if how == 'i' then
    due = now + span
  elseif how == 'a' then
    due = tonumber(span)
  end
  redis.call('HSET', jobs, id, record)
  if due > now or group or key then
    redis.call('HSET', info, id, pack_info(place, 0, '', group, key, till))
  end
  if due > now then
    redis.call('ZADD', delayed, due, id)
    woken = woken or not first_due or due < first_due
  else
    make_ready(id, place, group, false)
    woken = true
  end
end

-- Ends a batch.
local function admitted()
  for at = 1, #fresh, 1000 do
    redis.call('ZADD', ready, unpack(fresh, at, math.min(at + 999, #fresh)))
  end
  if woken or #fresh > 0 then
    ring()
  end
end
