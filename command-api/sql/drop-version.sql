-- in:  $1 projection, $2 version
-- out: dropped | unknown | rebuilding (somebody holds the lock of rebuilds, 7303); a foreign key error (23503) when it is
--      the served one
SELECT CASE
    WHEN NOT pg_try_advisory_xact_lock(7303) THEN 'rebuilding'
    WHEN drop_projection_version_v2($1, $2) THEN 'dropped'
    ELSE 'unknown'
  END AS outcome
