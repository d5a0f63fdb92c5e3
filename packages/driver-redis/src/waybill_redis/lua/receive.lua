-- with: queue ring groups unique due
-- Leases what is ready. ARGV: how many, the lease, a token, how long a waiting receiver sleeps before it looks by
-- itself, and until when anybody waits for the answer ('0': not known); microseconds. Returns the end of the leases,
-- the next change if nothing was taken (0: none is known), how many of each queue, of each job id, record and attempt,
-- and the time.
local AT_ONCE, ENOUGH_BYTES = 100, 8388608
local left, until_, token, slice = tonumber(ARGV[1]), now + ARGV[2], ARGV[3], tonumber(ARGV[4])
local queues = #KEYS / KEYS_OF_A_QUEUE
-- A call whose sender has given up, as the server stood still meanwhile, must take nothing.
if ARGV[5] ~= '0' and now > tonumber(ARGV[5]) then
  return { now }
end
local reply, bytes, soonest = { until_, 0 }, 0, nil

-- Leases a chunk: all is read before anything is written. Returns how many, and whether there is no more.
local function take(limit)
  local first = redis.call('ZRANGE', ready, 0, limit - 1, 'WITHSCORES')
  local ids = {}
  for at = 1, #first, 2 do
    ids[#ids + 1] = first[at]
  end
  if #ids == 0 then
    return 0, true
  end
  local records, infos = redis.call('HMGET', jobs, unpack(ids)), redis.call('HMGET', info, unpack(ids))
  local leases, begun, free = {}, {}, {}
  for number, id in ipairs(ids) do
    local record = records[number]
    if record then
      local _, attempt, _, group, key, till = unpack_info(infos[number])
      if key and till == 's' then
        free[#free + 1] = { key, id }
      end
      leases[#leases + 1] = until_
      leases[#leases + 1] = id
      begun[#begun + 1] = id
      begun[#begun + 1] = pack_info(tonumber(first[number * 2]), attempt + 1, token, group, key, till)
      reply[#reply + 1] = id
      reply[#reply + 1] = record
      reply[#reply + 1] = attempt + 1
      bytes = bytes + #record
    end
  end
  if #free > 0 then
    check_types()
  end
  redis.call('ZREMRANGEBYRANK', ready, 0, #ids - 1)
  for _, each in ipairs(free) do
    free_key(each[1], each[2])
  end
  if #leases > 0 then
    redis.call('ZADD', leased, unpack(leases))
    redis.call('HSET', info, unpack(begun))
  end
  return #leases / 2, #ids < limit
end

local changes, more = {}, {}
for number = 1, queues do
  use_queue(number)
  changes[number] = next_change()
  if queues > 1 or (changes[number] and changes[number] <= now) then
    check_types() -- what is read below is too late for the other queues, and for what has come due
  end
  reply[2 + number] = 0
end
for number = 1, queues do
  use_queue(number)
  if changes[number] and changes[number] <= now then
    bring_forward(500)
    changes[number] = next_change()
  end
  local taken, empty = 0, false
  while left > 0 and bytes <= ENOUGH_BYTES and not empty do
    local some
    some, empty = take(math.min(left, AT_ONCE))
    taken, left = taken + some, left - some
  end
  reply[2 + number], more[number] = taken, not empty
end
local busy = #reply > 2 + queues
for number = 1, queues do
  use_queue(number)
  local change = changes[number]
  if busy then
    if reply[2 + number] > 0 then
      change = math.min(change or until_, until_)
    end
    -- Whoever took something may not look again for long: another must take the rest, and watch the clock.
    if (change and change <= now + slice) or (more[number] and redis.call('EXISTS', ready) == 1) then
      ring()
    end
  else
    if queues == 1 then -- of several they were looked at above
      check_types()
    end
    if change and (not soonest or change < soonest) then
      soonest = change
    end
  end
end
reply[2] = busy and 0 or soonest or 0
reply[#reply + 1] = now
return reply
