-- in:  $1 id of the rebuild, $2 projection, $3 who asks, $4 whether it is a dry run, $5 whether it may differ
-- out: when it was asked for; no row when there is no such projection
-- A unique violation (23505) of rebuild_open_idx: one is open.
INSERT INTO rebuild (id, name, requested_by, dry_run, accept_differences)
SELECT $1, name, $3, $4, $5 FROM projection WHERE name = $2
RETURNING requested_at AS "requestedAt"
