-- in:  $1 stream ids
-- out: those of them that have left the log, with the version of their last event
SELECT stream_id AS "streamId", version FROM archived_stream WHERE stream_id = ANY ($1::uuid[])
