-- in:  $1 stream id
-- out: whose prompt it is and how it ended; no row when no such stream has left the log
SELECT user_id AS "userId", status FROM archived_stream WHERE stream_id = $1::uuid
