-- out: how many streams are set aside, by projection; one that is aside in two versions counts once
SELECT c.name AS projection, count(DISTINCT p.stream_id) AS streams
  FROM (SELECT DISTINCT name FROM cursor) c LEFT JOIN parked_stream p USING (name) GROUP BY c.name ORDER BY c.name
