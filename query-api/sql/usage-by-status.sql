-- in:  $1 user id, $2 model: null for any; $3 emulated prompts: default | only | include
--      $4, $5 submitted from, until (exclusive), on quarters of an hour; $6 hour | day
-- out: prompts by their present status, in the bucket of their submission; every row carries the cursor of this very
--      snapshot, and one row with nothing else stands for none
-- Emulated rows are left out by default from the first answer or charge of a real key on. A prompt that was not
-- answered yet counts as real, and so does not tell: only answers, tokens and charges do.
WITH real_key AS MATERIALIZED (
  SELECT EXISTS (SELECT 1 FROM usage_total_v{{version}}
                  WHERE NOT emulated AND (completed > 0 OR input_tokens > 0
                                          OR confirmed_nano_usd > 0 OR wasted_nano_usd > 0)) AS used
), summed AS (
  SELECT date_trunc($6, u.bucket, 'UTC') AS bucket, n.status AS member, sum(n.prompts) AS prompts
    FROM usage_v{{version}} u CROSS JOIN real_key r
   CROSS JOIN LATERAL (VALUES ('queued', u.queued), ('running', u.running), ('retrying', u.retrying),
                              ('completed', u.completed), ('failed', u.failed), ('cancelled', u.cancelled),
                              ('expired', u.expired)) AS n(status, prompts)
   WHERE ($1::text IS NULL OR u.user_id = $1)
     AND ($2::text IS NULL OR u.model = $2)
     AND ($3::text = 'include' OR ($3 = 'only' AND u.emulated) OR ($3 = 'default' AND NOT (u.emulated AND r.used)))
     AND u.bucket >= $4::timestamptz AND u.bucket < $5::timestamptz
   GROUP BY 1, 2
  HAVING sum(n.prompts) > 0
)
SELECT c.position, c.as_of, s.*
  FROM cursor c LEFT JOIN summed s ON true
 WHERE c.name = 'prompts' AND c.version = {{version}} AND c.lane = 0
 ORDER BY s.bucket, s.member
