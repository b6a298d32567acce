-- in:  $1 projection, $2 version, $3 stream id, $4 after this position, $5 rows at most
-- out: events of a stream that the projection's cursor has passed, in order
SELECT position, stream_id, event.version, event_id, type, schema_version, data, metadata, recorded_at
  FROM event
 WHERE stream_id = $3::uuid AND position > $4
   AND position <= (SELECT c.position FROM cursor c WHERE c.name = $1 AND c.version = $2 AND c.lane = 0)
 ORDER BY event.version LIMIT $5
