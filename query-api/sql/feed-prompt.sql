-- in:  $1 position after which, $2 position up to which, $3 rows at most, $4 prompt id
-- out: as feed-all.sql, of the prompt's events; the floor is 0 while its stream is there, which then is whole
SELECT CASE WHEN EXISTS (SELECT FROM event WHERE stream_id = $4) THEN 0 ELSE h.floor END AS floor,
       e.position, e.stream_id, e.type, e.user_id, e.traceparent
  FROM log_head h LEFT JOIN LATERAL (
    SELECT position, stream_id, type, data ->> 'userId' AS user_id, metadata ->> 'traceparent' AS traceparent, version
      FROM event WHERE stream_id = $4 AND position > $1 AND position <= $2 ORDER BY version LIMIT $3) e ON true
 ORDER BY e.version
