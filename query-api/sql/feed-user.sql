-- in:  $1 position after which, $2 position up to which, $3 rows at most, $4 user id
-- out: what the feed tells of each of the user's events, in the order of the log (event_user_position_idx)
SELECT position, stream_id, type, data ->> 'userId' AS user_id
  FROM event WHERE data ->> 'userId' = $4 AND position > $1 AND position <= $2 ORDER BY position LIMIT $3
