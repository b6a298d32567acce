-- Deletes entries that nobody will ever be given: delivered, and in no pending list. They would stay for ever.
-- KEYS[1] tasks stream; ARGV[1] consumer group; ARGV[2] entries to look at, oldest first
-- returns how many were deleted
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then return 0 end
local delivered = nil
for _, group in ipairs(groups) do
  local fields = {}
  for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
  if fields['name'] == ARGV[1] then delivered = fields['last-delivered-id'] end
end
if not delivered then return 0 end
local removed = 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', delivered, 'COUNT', ARGV[2])) do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1)
  if #pending == 0 then removed = removed + redis.call('XDEL', KEYS[1], entry[1]) end
end
return removed
