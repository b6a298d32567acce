-- out: the oldest rebuild that was asked for and has not ended, while nobody holds the lock of rebuilds; else no row
-- 7303 is that lock, see rebuild.ts: to look first costs less than to open a connection for it every second.
SELECT id FROM rebuild
 WHERE ended_at IS NULL
   AND NOT EXISTS (
     SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
      WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.classid = 0 AND l.objid = 7303 AND l.granted)
 ORDER BY id
 LIMIT 1
