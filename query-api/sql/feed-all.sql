-- in:  $1 position after which, $2 position up to which, $3 rows at most
-- out: the log's floor, beside what the feed tells of each event, in the order of the log; nulls when there is none.
--      One snapshot: where the floor is not above $1, no event is missing
SELECT h.floor, e.position, e.stream_id, e.type, e.user_id, e.traceparent
  FROM log_head h LEFT JOIN LATERAL (
    SELECT position, stream_id, type, data ->> 'userId' AS user_id, metadata ->> 'traceparent' AS traceparent
      FROM event WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3) e ON true
 ORDER BY e.position
