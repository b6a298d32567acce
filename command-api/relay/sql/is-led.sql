-- in:  nothing
-- out: whether some session of this database holds the lock of the relay, 7302 (leader.ts)
SELECT EXISTS (
  SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
   WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.classid = 0 AND l.objid = 7302 AND l.granted
) AS led
