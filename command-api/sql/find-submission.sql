-- in:  $1 id of an event, as an Idempotency-Key derives it
-- out: the submission it is, in the log or of a prompt whose events are archived; else no row
SELECT stream_id AS "streamId", position, recorded_at AS "recordedAt", metadata FROM event WHERE event_id = $1
UNION ALL
SELECT stream_id, position, recorded_at, metadata FROM archived_stream WHERE event_id = $1
LIMIT 1
