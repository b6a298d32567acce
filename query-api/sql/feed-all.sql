-- in:  $1 position after which, $2 position up to which, $3 rows at most
-- out: what the feed tells of each event, in the order of the log
SELECT position, stream_id, type, data ->> 'userId' AS user_id
  FROM event WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3
