-- with: values
-- Removes the name ARGV[1] if its version is ARGV[2]. Returns whether it was.
if find(ARGV[1]) ~= ARGV[2] then
  return 0
end
forget(ARGV[1])
return 1
