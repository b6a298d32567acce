-- in:  $1 position that shall be archived
-- out: a version of a read model that needs what lies there: one that is not whole, or is kept up to date and has not got there
SELECT v.name, v.version, v.status, v.frozen, c.position
  FROM projection_version v JOIN cursor c ON c.name = v.name AND c.version = v.version AND c.lane = 0
 WHERE v.status = 'building' OR (NOT v.frozen AND c.position < $1) ORDER BY v.status, c.position LIMIT 1
