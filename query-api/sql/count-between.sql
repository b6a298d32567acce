-- in:  $1 user id, $2 model: null for any; $3 status; $4 segments of the range: JSON array of { level, from, to, sign }
-- out: how many prompts have the status now, of those submitted in the range, as the sums of them tell
SELECT total_v1(n) AS prompts FROM (
  SELECT c.n
    FROM jsonb_to_recordset($4::jsonb) AS s(level smallint, "from" timestamptz, "to" timestamptz, sign smallint)
   CROSS JOIN LATERAL (
     SELECT s.sign * CASE $3::text WHEN 'queued' THEN queued WHEN 'running' THEN running WHEN 'retrying' THEN retrying
                                 WHEN 'completed' THEN completed WHEN 'failed' THEN failed WHEN 'cancelled' THEN cancelled
                                 WHEN 'expired' THEN expired ELSE 0 END AS n
       FROM usage_v{{version}}
      WHERE $1::text IS NOT NULL AND user_id = $1 AND ($2::text IS NULL OR model = $2)
        AND level = s.level AND bucket >= s."from" AND bucket < s."to" OFFSET 0
   ) c
  UNION ALL
  SELECT c.n
    FROM jsonb_to_recordset($4::jsonb) AS s(level smallint, "from" timestamptz, "to" timestamptz, sign smallint)
   CROSS JOIN LATERAL (
     SELECT s.sign * CASE $3 WHEN 'queued' THEN queued WHEN 'running' THEN running WHEN 'retrying' THEN retrying
                                 WHEN 'completed' THEN completed WHEN 'failed' THEN failed WHEN 'cancelled' THEN cancelled
                                 WHEN 'expired' THEN expired ELSE 0 END AS n
       FROM model_usage_v{{version}}
      WHERE $1 IS NULL AND ($2 IS NULL OR model = $2)
        AND level = s.level AND bucket >= s."from" AND bucket < s."to" OFFSET 0
   ) c
) counted
