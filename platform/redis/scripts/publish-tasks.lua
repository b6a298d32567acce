-- Appends task entries, but only onto the state that the caller left.
-- KEYS[1] tasks stream
-- ARGV[1] consumer group, ARGV[2] last id the caller published ('0-0': none)
-- ARGV[3..] per entry: dispatch number, promptId, lane, model, traceparent
-- returns {1, last id} when all were added; {0, last id} when the stream is in another state: nothing was added
--
-- A stream that lost entries, gained foreign ones or was made anew has another last-generated id. Relying on XADD's
-- own refusal of low ids instead would take each of these for "already published".
local last = '0-0'
local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
if info.err then
  if not string.find(info.err, 'no such key', 1, true) then return info end
else
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
if last ~= ARGV[2] then return {0, last} end
for i = 3, #ARGV, 5 do
  last = redis.call('XADD', KEYS[1], ARGV[i] .. '-0', 'promptId', ARGV[i + 1], 'lane', ARGV[i + 2],
    'model', ARGV[i + 3], 'traceparent', ARGV[i + 4])
end
if ARGV[2] == '0-0' then redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0') end
return {1, last}
