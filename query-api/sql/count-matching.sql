-- in:  $1 user id, $2 model, $3 status: null for any
-- out: how many prompts they have, of all time, as the sums of them tell
SELECT total_v1(CASE $3::text WHEN 'queued' THEN queued WHEN 'running' THEN running WHEN 'retrying' THEN retrying
                              WHEN 'completed' THEN completed WHEN 'failed' THEN failed WHEN 'cancelled' THEN cancelled
                              WHEN 'expired' THEN expired
                              ELSE queued + running + retrying + completed + failed + cancelled + expired END) AS prompts
  FROM (SELECT model, queued, running, retrying, completed, failed, cancelled, expired FROM usage_v{{version}}
         WHERE $1::text IS NOT NULL AND user_id = $1 AND level = 5
        UNION ALL
        SELECT model, queued, running, retrying, completed, failed, cancelled, expired FROM model_usage_v{{version}}
         WHERE $1 IS NULL AND level = 5) s
 WHERE $2::text IS NULL OR model = $2
