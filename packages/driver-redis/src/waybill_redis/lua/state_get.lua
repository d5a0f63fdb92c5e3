-- with: values
-- Version and value of the name ARGV[1], or nothing.
local version, value = find(ARGV[1])
return version and { version, value } or {}
