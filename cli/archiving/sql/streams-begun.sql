-- in:  $1 position after which, $2 position up to which, $3 rows at most
-- out: streams that the log has and that begin there, in the order of the log
SELECT position, stream_id FROM event
 WHERE position > $1 AND position <= $2 AND version = 1 ORDER BY position LIMIT $3
