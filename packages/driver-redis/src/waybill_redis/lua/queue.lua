-- A queue's keys in the order of keys.py, the time, and what is known of a job beside its record.
local KEYS_OF_A_QUEUE = 13
local jobs, ready, delayed, leased, info, heads, behind, unique, windows, seq, wake, dead, letters

local function use_queue(number)
  local at = (number - 1) * KEYS_OF_A_QUEUE
  jobs, ready, delayed, leased, info = KEYS[at + 1], KEYS[at + 2], KEYS[at + 3], KEYS[at + 4], KEYS[at + 5]
  heads, behind, unique, windows, seq = KEYS[at + 6], KEYS[at + 7], KEYS[at + 8], KEYS[at + 9], KEYS[at + 10]
  wake, dead, letters = KEYS[at + 11], KEYS[at + 12], KEYS[at + 13]
end

-- What a script wrote before an error stays. So each key is read once, and a wrong type is met before any write.
local function check_types()
  redis.call('HLEN', jobs)
  redis.call('ZCARD', ready)
  redis.call('ZCARD', delayed)
  redis.call('ZCARD', leased)
  redis.call('HLEN', info)
  redis.call('HLEN', heads)
  redis.call('ZCARD', behind)
  redis.call('HLEN', unique)
  redis.call('ZCARD', windows)
  redis.call('STRLEN', seq)
  redis.call('LLEN', wake)
end

use_queue(1)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- place: where it stands among the ready; 9 - priority in the high bits, the order of sending below them.
-- token: drawn at each receive; '' once the delivery was given back. till: d(one), s(tart) or w(indow), of the key.
-- A job that is ready, was never received and has neither group nor key has no entry: its score says it all.
local PLACES = 281474976710656

local function pack_info(place, attempt, token, group, key, till)
  return cmsgpack.pack(place, attempt, token, group, key, till)
end

local function unpack_info(packed)
  if packed then
    return cmsgpack.unpack(packed)
  end
  return 0, 0, '', false, false, false
end
