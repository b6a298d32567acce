-- in:  $1 projection, $2 version, $3 stream id, $4 position of the event, $5 error
-- It changes nothing when the stream waits at another event by now.
UPDATE parked_stream SET error = $5
 WHERE name = $1 AND version = $2 AND stream_id = $3::uuid AND position = $4
