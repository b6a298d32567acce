-- in:  $1 stream id
-- out: where it is set aside: once for each version of each projection
SELECT name AS projection, version, stream_id AS "streamId", position, error
  FROM parked_stream WHERE stream_id = $1::uuid ORDER BY name, version
