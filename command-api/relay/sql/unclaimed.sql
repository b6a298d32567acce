-- in:  $1 seconds since they were stamped, $2 rows at most
-- out: rows that were published and not claimed since
SELECT prompt_id, dispatch FROM outbox
 WHERE dispatch IS NOT NULL AND token IS NULL AND state = 'open'
   AND dispatched_at < clock_timestamp() - make_interval(secs => $1)
 ORDER BY dispatch LIMIT $2
