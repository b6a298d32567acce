-- in:  $1 stream id and $2 version after which, $3 position up to which, $4 rows at most
-- out: events stream by stream, each stream's in order (event_stream_version_key)
SELECT position, stream_id, version, event_id, type, schema_version, data, metadata, recorded_at
  FROM event WHERE (stream_id, version) > ($1::uuid, $2::integer) AND position <= $3
 ORDER BY stream_id, version LIMIT $4
