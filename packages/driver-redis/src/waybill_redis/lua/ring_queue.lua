-- with: queue ring
-- Passes a token on that its receiver does not use. ARGV: 1 if in any case, 0 if something will soon change and the
-- microseconds that are soon.
local change = ARGV[1] == '0' and next_change()
if ARGV[1] == '1' or (change and change <= now + ARGV[2]) then
  ring()
end
return 0
