-- with: queue
-- Some members up to the last one. ARGV: the member after which they begin, or ''; the last; how many.
local start = ARGV[1] == '' and '-' or '(' .. ARGV[1]
return redis.call('ZRANGEBYLEX', dead, start, '[' .. ARGV[2], 'LIMIT', 0, ARGV[3])
