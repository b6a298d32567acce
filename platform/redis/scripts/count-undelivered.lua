-- How many entries of a stream a consumer group was not given yet, counted: XINFO cannot tell it after an entry was deleted
-- before it was given.
-- KEYS[1] stream; ARGV[1] the group's last-delivered-id; ARGV[2] count no further than this
-- returns the count
return #redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
