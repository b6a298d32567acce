-- in:  $1 position after which, $2 position up to which, $3 rows at most
-- out: what a fold reads of events, in the order of the log
SELECT position, stream_id, version, type, schema_version, data, recorded_at
  FROM event WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3
