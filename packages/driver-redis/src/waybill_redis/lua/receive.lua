-- with: queue ring groups unique due
-- Leases what is ready. ARGV: how many, the lease, a token, and how long a waiting receiver sleeps before it looks by
-- itself, and until when anybody waits for the answer ('0': not known); microseconds. Returns the end of the leases, the next change if nothing was taken (0: none is known), how
-- many of each queue, and of each job id, record and attempt.
local AT_ONCE, ENOUGH_BYTES = 100, 8388608
local left, until_, token, slice = tonumber(ARGV[1]), now + ARGV[2], ARGV[3], tonumber(ARGV[4])
local queues = #KEYS / KEYS_OF_A_QUEUE
-- A call whose sender has given up, as the server stood still meanwhile, must take nothing.
if ARGV[5] ~= '0' and now > tonumber(ARGV[5]) then
  return { now }
end
local reply, bytes, soonest = { until_, 0 }, 0, nil

-- Leases a chunk; false: there is no more, or it is enough.
local function take(limit)
  local popped = redis.call('ZPOPMIN', ready, limit)
  local ids = {}
  for at = 1, #popped, 2 do
    ids[#ids + 1] = popped[at]
  end
  if #ids == 0 then
    return 0, true
  end
  local records, infos = redis.call('HMGET', jobs, unpack(ids)), redis.call('HMGET', info, unpack(ids))
  local leases, begun = {}, {}
  for number, id in ipairs(ids) do
    local record = records[number]
    if record then
      local _, attempt, _, group, key, till = unpack_info(infos[number])
      if key and till == 's' then
        free_key(key, id)
      end
      leases[#leases + 1] = until_
      leases[#leases + 1] = id
      begun[#begun + 1] = id
      begun[#begun + 1] = pack_info(tonumber(popped[number * 2]), attempt + 1, token, group, key, till)
      reply[#reply + 1] = id
      reply[#reply + 1] = record
      reply[#reply + 1] = attempt + 1
      bytes = bytes + #record
    end
  end
  if #leases > 0 then
    redis.call('ZADD', leased, unpack(leases))
    redis.call('HSET', info, unpack(begun))
  end
  return #leases / 2, #ids < limit or bytes > ENOUGH_BYTES
end

for number = 1, queues do
  use_queue(number)
  check_types()
end
for number = 1, queues do
  reply[2 + number] = 0
end
for number = 1, queues do
  use_queue(number)
  bring_forward(500)
  local taken, done = 0, left < 1 or bytes > ENOUGH_BYTES
  while left > 0 and not done do
    local some
    some, done = take(math.min(left, AT_ONCE))
    taken, left = taken + some, left - some
  end
  reply[2 + number] = taken
end
local busy = #reply > 2 + queues
for number = 1, queues do
  use_queue(number)
  local change = next_change()
  if busy then
    -- Whoever took something may not look again for long: another must take the rest, and watch the clock.
    if (change and change <= now + slice) or redis.call('EXISTS', ready) == 1 then
      ring()
    end
  elseif change and (not soonest or change < soonest) then
    soonest = change
  end
end
reply[2] = busy and 0 or soonest or 0
reply[#reply + 1] = now
return reply
