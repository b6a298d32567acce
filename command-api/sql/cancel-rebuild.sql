-- in:  $1 projection, $2 id of a rebuild, $3 who cancels it
-- out: its outcome, null while whoever does it has not broken off; no row when there is none that is open or was cancelled
-- One that nobody has begun ends at once.
WITH marked AS (
  UPDATE rebuild SET cancelled_by = coalesce(cancelled_by, $3),
         ended_at = CASE WHEN started_at IS NULL THEN clock_timestamp() END,
         outcome = CASE WHEN started_at IS NULL THEN 'cancelled' END,
         error = CASE WHEN started_at IS NULL THEN 'cancelled by ' || $3 END
   WHERE id = $2 AND name = $1 AND ended_at IS NULL
  RETURNING outcome
)
SELECT outcome FROM marked
UNION ALL SELECT outcome FROM rebuild
 WHERE id = $2 AND name = $1 AND ended_at IS NOT NULL AND NOT EXISTS (SELECT FROM marked)
