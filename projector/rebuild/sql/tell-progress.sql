-- in:  $1 id of a rebuild, $2 version, $3 phase, $4 position, $5 target, $6 events per second
-- out: who has cancelled it, or null; no row when it has ended
UPDATE rebuild
   SET version = $2, phase = $3, position = $4, target = $5, events_per_second = $6, told_at = clock_timestamp()
 WHERE id = $1 AND ended_at IS NULL
RETURNING cancelled_by AS "cancelledBy"
