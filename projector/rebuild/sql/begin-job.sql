-- in:  $1 id of a rebuild
-- out: the job, with how often it was begun by now and whether the version it has built is served; no row when it has ended
UPDATE rebuild r SET started_at = coalesce(r.started_at, clock_timestamp()), tries = r.tries + 1
  FROM projection p
 WHERE r.id = $1 AND r.ended_at IS NULL AND p.name = r.name
RETURNING r.id, r.dry_run AS "dryRun", r.accept_differences AS "acceptDifferences",
          r.requested_by AS "requestedBy", r.version, r.tries, r.by_tool AS "byTool",
          r.cancelled_by AS "cancelledBy", r.version IS NOT DISTINCT FROM p.live_version AS "isServed"
