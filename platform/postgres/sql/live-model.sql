-- out: the served version of the `prompts` projection, its cursor, the time of the last event folded in, and a number
--      that changes when one of the streams set aside (the first thousand of them) is replayed, which moves no cursor;
--      no row while no version is served
SELECT v.version, c.position, c.as_of,
       (SELECT coalesce(sum(a.position), 0)::bigint
          FROM (SELECT p.position FROM parked_stream p WHERE p.name = v.name AND p.version = v.version
                 ORDER BY p.stream_id LIMIT 1000) a) AS aside
  FROM projection_version v
  JOIN cursor c ON c.name = v.name AND c.version = v.version AND c.lane = 0
 WHERE v.name = 'prompts' AND v.status = 'live'
