-- Forgets a job that its caller has taken out of `ready`, `delayed`, `leased` or `behind`. Returns whether the next
-- of its group came forward.
local function remove(id, was_head, group, key, till)
  redis.call('HDEL', info, id)
  redis.call('HDEL', jobs, id)
  if key and till ~= 'w' then
    free_key(key, id)
  end
  return group and was_head and let_next_come(group)
end
