-- in:  $1 users or null for all of them together; $2 model: null for any; $3 emulated prompts: default | only | include
--      $4 segments of the range: JSON array of { level, from, to, sign }, what is read of each level and added or taken off
--      $5 corrections to a look back, JSON array of rows of usage; $6 position looked back to, or null for now
--      $7 starts of the buckets, upwards; $8 what rows are of: none | model | user
-- out: usage by time of submission, by status too; bucket counts from 1;
--      every row carries the cursor of this very snapshot, and one row with nothing else stands for none
-- OFFSET 0: a segment is looked up by key, and is never a condition of a join over the whole table.
WITH shown AS MATERIALIZED (
  -- Emulated prompts are left out by default from the first answer or charge of a real key on.
  SELECT e.emulated FROM (VALUES (false), (true)) AS e(emulated)
   WHERE $3::text = 'include' OR ($3 = 'only' AND e.emulated)
      OR ($3 = 'default' AND NOT (e.emulated AND EXISTS (SELECT FROM real_use_v{{version}}
                                                          WHERE position <= coalesce($6::bigint, 9223372036854775807))))
), segments AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset($4::jsonb) AS s(level smallint, "from" timestamptz, "to" timestamptz, sign smallint)
), deltas AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset($5::jsonb) AS d(
    bucket timestamptz, user_id text, model text, emulated boolean,
    queued bigint, running bigint, retrying bigint, completed bigint, failed bigint, cancelled bigint, expired bigint,
    input_tokens bigint, output_tokens bigint, thought_tokens bigint,
    confirmed_nano_usd bigint, wasted_nano_usd bigint, unknown_bound_nano_usd bigint, unknown_attempts bigint)
), parts AS (
  SELECT p.* FROM segments s CROSS JOIN LATERAL (
    SELECT t.bucket, CASE $8 WHEN 'user' THEN t.user_id WHEN 'model' THEN t.model END AS member,
           queued, running, retrying, completed, failed, cancelled, expired,
           input_tokens, output_tokens, thought_tokens, confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd,
         unknown_attempts,
           CASE WHEN t.emulated THEN confirmed_nano_usd + wasted_nano_usd ELSE 0 END AS notional
      FROM usage_v{{version}} t
     WHERE $1::text[] IS NOT NULL AND t.user_id = ANY ($1) AND ($2::text IS NULL OR t.model = $2)
       AND t.level = s.level AND t.bucket >= s."from" AND t.bucket < s."to"
       AND t.emulated = ANY (ARRAY(SELECT emulated FROM shown)) OFFSET 0) p
  UNION ALL
  SELECT p.* FROM segments s CROSS JOIN LATERAL (
    SELECT t.bucket, CASE $8 WHEN 'model' THEN t.model END,
           queued, running, retrying, completed, failed, cancelled, expired,
           input_tokens, output_tokens, thought_tokens, confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd,
         unknown_attempts,
           CASE WHEN t.emulated THEN confirmed_nano_usd + wasted_nano_usd ELSE 0 END AS notional
      FROM model_usage_v{{version}} t
     WHERE $1 IS NULL AND ($2 IS NULL OR t.model = $2)
       AND t.level = s.level AND t.bucket >= s."from" AND t.bucket < s."to"
       AND t.emulated = ANY (ARRAY(SELECT emulated FROM shown)) OFFSET 0) p
  UNION ALL
  SELECT bucket, CASE $8 WHEN 'user' THEN user_id WHEN 'model' THEN model END,
         queued, running, retrying, completed, failed, cancelled, expired,
         input_tokens, output_tokens, thought_tokens, confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd,
         unknown_attempts,
         CASE WHEN emulated THEN confirmed_nano_usd + wasted_nano_usd ELSE 0 END
    FROM deltas WHERE ($1 IS NULL OR user_id = ANY ($1)) AND emulated = ANY (ARRAY(SELECT emulated FROM shown))
), summed AS (
  SELECT width_bucket(bucket, $7::timestamptz[]) AS bucket, member,
         total_v1(queued + running + retrying + completed + failed + cancelled + expired) AS prompts,
         total_v1(queued) AS queued, total_v1(running) AS running, total_v1(retrying) AS retrying,
         total_v1(completed) AS completed,
         total_v1(failed) AS failed, total_v1(cancelled) AS cancelled, total_v1(expired) AS expired,
         total_v1(input_tokens) AS input_tokens, total_v1(output_tokens) AS output_tokens,
         total_v1(thought_tokens) AS thought_tokens,
         total_v1(confirmed_nano_usd) AS confirmed, total_v1(wasted_nano_usd) AS wasted,
         total_v1(unknown_bound_nano_usd) AS unknown_bound, total_v1(unknown_attempts) AS unknown_attempts,
         total_v1(notional) AS notional
    FROM parts GROUP BY 1, 2
  -- A row may have no prompt, but what attempts cost whose prompts are counted on the other side of `emulated`.
  HAVING total_v1(queued + running + retrying + completed + failed + cancelled + expired)
         + total_v1(input_tokens) + total_v1(output_tokens) + total_v1(thought_tokens)
         + total_v1(confirmed_nano_usd) + total_v1(wasted_nano_usd) + total_v1(unknown_bound_nano_usd)
         + total_v1(unknown_attempts) > 0
)
SELECT c.position, c.as_of, s.bucket, s.member, s.prompts::text, s.queued::text, s.running::text, s.retrying::text,
       s.completed::text, s.failed::text, s.cancelled::text, s.expired::text,
       s.input_tokens::text, s.output_tokens::text, s.thought_tokens::text,
       s.confirmed::text, s.wasted::text, s.unknown_bound::text, s.unknown_attempts::text, s.notional::text
  FROM cursor c LEFT JOIN summed s ON true
 WHERE c.name = 'prompts' AND c.version = {{version}} AND c.lane = 0
 ORDER BY s.bucket, s.member COLLATE "C"
