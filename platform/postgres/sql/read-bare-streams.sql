-- in:  $1 stream ids; $2 position
-- out: all events of these streams up to it, each stream's in order; their data without texts and usage blocks, which no fold reads
SELECT position, stream_id, version, event_id, type, schema_version,
       data - '{prompt,answer,rawUsage}'::text[] AS data, '{}'::jsonb AS metadata, recorded_at
  FROM event WHERE stream_id = ANY ($1::uuid[]) AND position <= $2 ORDER BY stream_id, version
