-- in:  $1 projection, $2 version
-- out: as switch_projection_v1 says, or `rebuilding`: somebody holds the lock of rebuilds (7303), to the end of which no
--      version changes its place
SELECT CASE WHEN pg_try_advisory_xact_lock(7303) THEN switch_projection_v1($1, $2) ELSE 'rebuilding' END AS outcome
