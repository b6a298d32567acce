-- in:  $1 projection, $2 version, $3 stream id
-- out: the event that the stream waits at; no row when it is not aside
SELECT position FROM parked_stream WHERE name = $1 AND version = $2 AND stream_id = $3::uuid
