-- in:  $1 prompt id
-- out: the user who submitted it; no row when there is no such stream
SELECT data ->> 'userId' AS user_id FROM event WHERE stream_id = $1 AND version = 1
