-- in:  $1 position, or null; $2 time, or null: one of both
-- out: the last event recorded by then (nulls: none, or below the floor), the log's head and floor, when its first event was
--      recorded if that is archived, and the database's clock. At the floor itself nothing is missing: whatever was archived
--      had ended for good by then
SELECT w.position, CASE WHEN w.position = h.floor THEN h.floor_recorded_at ELSE e.recorded_at END AS recorded_at,
       h.position AS head, h.floor, h.began_at, clock_timestamp() AS now
  FROM log_head h
 CROSS JOIN LATERAL (
   SELECT coalesce($1::bigint, position_at_v2($2::timestamptz)) AS position OFFSET 0 -- looked for once
 ) a
  LEFT JOIN LATERAL (
   SELECT * FROM event WHERE position = a.position AND a.position > h.floor LIMIT 1
 ) e ON true
 CROSS JOIN LATERAL (SELECT CASE WHEN a.position = h.floor AND h.floor > 0 THEN h.floor ELSE e.position END AS position) w
