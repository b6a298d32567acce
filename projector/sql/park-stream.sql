-- in:  $1 projection, $2 version, $3 stream id, $4 position of the event that could not be folded, $5 error
INSERT INTO parked_stream (name, version, stream_id, position, error) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
