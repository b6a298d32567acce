-- in:  $1 projection, $2 version, $3 stream ids
-- out: those of the streams that are set aside
SELECT stream_id FROM parked_stream WHERE name = $1 AND version = $2 AND stream_id = ANY ($3::uuid[])
