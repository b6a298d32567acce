-- in:  $1 projection
-- out: where the log ends, where the served version stands, and whether something was recorded within the last ten seconds
SELECT h.position AS head, l.position, h.recorded_at > clock_timestamp() - interval '10 s' AS "isLive"
  FROM log_head h, live_projection l WHERE l.name = $1
