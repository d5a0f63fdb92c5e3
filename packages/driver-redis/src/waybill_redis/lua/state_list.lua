-- with: values
-- A page of values, in the order of their names. ARGV: the prefix, the name after which it begins or '', how many.
-- Returns name, version and value of each.
local wanted, reply = tonumber(ARGV[3]) * 3, {}
local start, stop = '[' .. ARGV[1], '(' .. ARGV[1] .. '\255'
if ARGV[2] ~= '' and ARGV[2] >= ARGV[1] then
  start = '(' .. ARGV[2]
end
repeat
  local page = redis.call('ZRANGEBYLEX', names, start, stop, 'LIMIT', 0, 100)
  for _, name in ipairs(page) do
    local version, value = find(name)
    if version and #reply < wanted then
      reply[#reply + 1] = name
      reply[#reply + 1] = version
      reply[#reply + 1] = value
    end
    start = '(' .. name
  end
until #page < 100 or #reply >= wanted
return reply
