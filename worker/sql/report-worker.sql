-- in:  $1 worker id, $2 slots, $3 running
-- The relay sizes its window by what the live workers report.
INSERT INTO worker (worker_id, slots, running, seen_at) VALUES ($1, $2, $3, clock_timestamp())
ON CONFLICT (worker_id) DO UPDATE SET slots = excluded.slots, running = excluded.running, seen_at = excluded.seen_at
