-- Deletes consumers that nobody is behind any more: silent for long, and with nothing pending. With one that has
-- entries pending these would be lost to everybody; they are taken over first.
-- KEYS[1] stream; ARGV[1] consumer group; ARGV[2] idle milliseconds; ARGV[3] only this consumer ('': any)
-- returns how many were deleted
local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if consumers.err then return 0 end
local removed = 0
for _, consumer in ipairs(consumers) do
  local fields = {}
  for i = 1, #consumer, 2 do fields[consumer[i]] = consumer[i + 1] end
  local named = ARGV[3] == '' or fields['name'] == ARGV[3]
  if named and fields['pending'] == 0 and fields['idle'] >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], fields['name'])
    removed = removed + 1
  end
end
return removed
