-- in:  $1 position, $2 seconds
-- out: when the event there was recorded, and whether that is less than so many seconds ago
SELECT recorded_at AS "recordedAt", recorded_at > clock_timestamp() - make_interval(secs => $2) AS young
  FROM event WHERE position = $1
