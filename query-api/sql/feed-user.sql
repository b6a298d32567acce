-- in:  $1 position after which, $2 position up to which, $3 rows at most, $4 user id
-- out: as feed-all.sql, of the user's events (event_user_position_idx)
SELECT h.floor, e.position, e.stream_id, e.type, e.user_id, e.traceparent
  FROM log_head h LEFT JOIN LATERAL (
    SELECT position, stream_id, type, data ->> 'userId' AS user_id, metadata ->> 'traceparent' AS traceparent
      FROM event WHERE data ->> 'userId' = $4 AND position > $1 AND position <= $2 ORDER BY position LIMIT $3) e ON true
 ORDER BY e.position
