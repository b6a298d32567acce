-- in:  $1 user id, $2 position after which, $3 position up to which, $4 rows at most
-- out: the user's events in the order of the log (event_user_position_idx)
SELECT position, stream_id, version, event_id, type, schema_version, data, metadata, recorded_at
  FROM event WHERE data ->> 'userId' = $1 AND position > $2 AND position <= $3 ORDER BY position LIMIT $4
