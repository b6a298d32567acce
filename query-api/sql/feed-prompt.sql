-- in:  $1 position after which, $2 position up to which, $3 rows at most, $4 prompt id
-- out: what the feed tells of each event of the prompt, in the order of the log
SELECT position, stream_id, type, data ->> 'userId' AS user_id
  FROM event WHERE stream_id = $4 AND position > $1 AND position <= $2 ORDER BY version LIMIT $3
