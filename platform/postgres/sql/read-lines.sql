-- in:  $1 position after which, $2 position up to which, $3 rows at most
-- out: events in the order of the log, each as one line of an archive: JSON as Postgres writes it, so that no number loses a
--      digit and no time its microseconds
SELECT position, event_id, type, schema_version, recorded_at,
       json_build_object('position', position, 'streamId', stream_id, 'version', version, 'eventId', event_id,
         'type', type, 'schemaVersion', schema_version,
         'recordedAt', to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
         'data', data, 'metadata', metadata)::text AS line
  FROM event WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3
