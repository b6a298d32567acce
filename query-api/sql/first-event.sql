-- out: when the first event was recorded, also when it is archived; no row for an empty log
SELECT coalesce(h.began_at, e.recorded_at) AS recorded_at
  FROM log_head h LEFT JOIN event e ON e.position = h.floor + 1
 WHERE coalesce(h.began_at, e.recorded_at) IS NOT NULL
