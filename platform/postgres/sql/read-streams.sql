-- in:  $1 stream ids
-- out: all events of these streams, each stream's in order
SELECT position, stream_id, version, event_id, type, schema_version, data, metadata, recorded_at
  FROM event WHERE stream_id = ANY ($1::uuid[]) ORDER BY stream_id, version
