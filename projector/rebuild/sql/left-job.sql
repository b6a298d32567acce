-- in:  $1 projection
-- out: its rebuild that is open
SELECT id, dry_run AS "dryRun", accept_differences AS "acceptDifferences", requested_by AS "requestedBy", by_tool AS "byTool", cancelled_by AS "cancelledBy"
  FROM rebuild WHERE name = $1 AND ended_at IS NULL
