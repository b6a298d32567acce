-- in:  $1 projection, $2 version, $3 stream id: begin after this one; $4 rows at most
-- out: streams set aside, in the order of the primary key, each with the event it waits at and how many wait behind that
SELECT p.name AS projection, p.version, p.stream_id AS "streamId", p.position, e.type,
       e.schema_version AS "schemaVersion", p.error, p.parked_at AS "parkedAt",
       (SELECT count(*) FROM event l WHERE l.stream_id = p.stream_id AND l.position > p.position) AS waiting
  FROM parked_stream p LEFT JOIN event e ON e.position = p.position
 WHERE (p.name, p.version, p.stream_id) > ($1::text, $2::integer, $3::uuid)
 ORDER BY p.name, p.version, p.stream_id LIMIT $4
