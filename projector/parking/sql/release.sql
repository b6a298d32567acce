-- in:  $1 projection, $2 version, $3 stream id
DELETE FROM parked_stream WHERE name = $1 AND version = $2 AND stream_id = $3::uuid
