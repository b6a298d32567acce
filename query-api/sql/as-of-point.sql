-- in:  $1 position, or null; $2 time, or null: one of both
-- out: the last event recorded by then (nulls: none), the log's head and the database's clock
SELECT e.position, e.recorded_at, h.position AS head, clock_timestamp() AS now
  FROM log_head h LEFT JOIN event e ON e.position = coalesce($1::bigint, position_at_v1($2::timestamptz))
