-- out: the served version of the `prompts` projection, its cursor, and the time of the last event folded in;
--      no row while no version is served
SELECT v.version, c.position, c.as_of
  FROM projection_version v
  JOIN cursor c ON c.name = v.name AND c.version = v.version AND c.lane = 0
 WHERE v.name = 'prompts' AND v.status = 'live'
