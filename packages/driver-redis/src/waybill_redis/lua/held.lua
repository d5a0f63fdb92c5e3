-- What is known of these ids; scripts that settle compare the tokens.
local function infos_of(ids)
  if #ids == 0 then
    return {}
  end
  return redis.call('HMGET', info, unpack(ids))
end

-- Takes ids out of the leased, or out of the ready where a lease ran out and nobody has taken the job since.
local function take_back(ids)
  if #ids > 0 and redis.call('ZREM', leased, unpack(ids)) < #ids then
    redis.call('ZREM', ready, unpack(ids))
  end
end
