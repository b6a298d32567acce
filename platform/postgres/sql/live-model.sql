-- out: the served version of the `prompts` projection, its cursor, the time of the last event folded in, and a number
--      that changes when one of the streams set aside (the first thousand of them) is replayed, which moves no cursor;
--      no row while no version is served; and since when the server runs, in microseconds since 1970
SELECT l.version, l.position, l.as_of,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS up_since,
       (SELECT coalesce(sum(a.position), 0)::bigint
          FROM (SELECT p.position FROM parked_stream p WHERE p.name = l.name AND p.version = l.version
                 ORDER BY p.stream_id LIMIT 1000) a) AS aside
  FROM live_projection l
 WHERE l.name = 'prompts'
