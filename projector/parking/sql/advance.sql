-- in:  $1 projection, $2 version, $3 stream id, $4 folded up to here before, $5 folded up to here now
-- out: one row: the event that it waits at from now on; null when the log has no later one.
--      No row when it does not wait at the first event after $4: somebody else has folded that, or it is not aside.
UPDATE parked_stream p
   SET position = coalesce((SELECT min(e.position) FROM event e WHERE e.stream_id = $3::uuid AND e.position > $5), $5)
 WHERE p.name = $1 AND p.version = $2 AND p.stream_id = $3::uuid
   AND p.position = (SELECT min(e.position) FROM event e WHERE e.stream_id = $3::uuid AND e.position > $4)
RETURNING nullif(p.position, $5) AS next
