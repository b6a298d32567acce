-- out: when the first event that the log still has was recorded; no row for an empty log
SELECT e.recorded_at FROM log_head h JOIN event e ON e.position = h.floor + 1
