-- in:  $1 id of a rebuild, $2 projection, $3 who does it, $4 whether it is a dry run, $5 whether it may differ
-- out: its id; no row while another one is open
INSERT INTO rebuild (id, name, requested_by, dry_run, accept_differences, by_tool) VALUES ($1, $2, $3, $4, $5, true)
ON CONFLICT (name) WHERE ended_at IS NULL DO NOTHING
RETURNING id
