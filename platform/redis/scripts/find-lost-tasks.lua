-- Which of these entries nobody will ever be given: absent from the stream, or delivered and in no pending list
-- (after XGROUP DELCONSUMER or SETID an entry sits in the stream and nobody can read it).
-- KEYS[1] tasks stream; ARGV[1] consumer group; ARGV[2..] dispatch numbers
-- returns the lost dispatch numbers
local lost = {}
local delivered = nil
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if not groups.err then
  for _, group in ipairs(groups) do
    local fields = {}
    for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
    if fields['name'] == ARGV[1] then delivered = tonumber(string.match(fields['last-delivered-id'], '^%d+')) end
  end
end
for i = 2, #ARGV do
  local id = ARGV[i] .. '-0'
  local entry = redis.pcall('XRANGE', KEYS[1], id, id)
  if entry.err or #entry == 0 then
    lost[#lost + 1] = ARGV[i]
  elseif delivered and tonumber(ARGV[i]) <= delivered then
    local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], id, id, 1)
    if pending.err or #pending == 0 then lost[#lost + 1] = ARGV[i] end
  end
end
return lost
