-- in:  $1 user id, $2 model: null for any; $3 emulated prompts: default | only | include
--      $4 corrections to a look back, JSON array of rows of usage; $5 position looked back to, or null for now
--      $6 how many users; those who spent most come first (confirmed and wasted)
-- out: a row with nothing but the cursor of this very snapshot; then spending of each user on prompts submitted in the range;
--      last, if there are more, a row without a name of all users together, and of how many it speaks
-- What follows in `parts` is users-part.sql for each segment of the range. What each reads is then known when it is planned: with segments as
-- a parameter, and each level of each table a condition of a join, ten thousand rows took half as long again.
WITH shown AS MATERIALIZED (
  -- Emulated prompts are left out by default from the first answer or charge of a real key on.
  SELECT e.emulated FROM (VALUES (false), (true)) AS e(emulated)
   WHERE $3::text = 'include' OR ($3 = 'only' AND e.emulated)
      OR ($3 = 'default' AND NOT (e.emulated AND EXISTS (SELECT FROM real_use_v{{version}}
                                                          WHERE position <= coalesce($5::bigint, 9223372036854775807))))
), parts AS (
  SELECT user_id, queued + running + retrying + completed + failed + cancelled + expired AS prompts, completed, failed,
         input_tokens, output_tokens, thought_tokens, confirmed_nano_usd AS confirmed, wasted_nano_usd AS wasted,
         unknown_bound_nano_usd AS unknown_bound, unknown_attempts,
         CASE WHEN emulated THEN confirmed_nano_usd + wasted_nano_usd ELSE 0 END AS notional
    FROM jsonb_to_recordset($4::jsonb) AS d(
      bucket timestamptz, user_id text, model text, emulated boolean,
      queued bigint, running bigint, retrying bigint, completed bigint, failed bigint, cancelled bigint, expired bigint,
      input_tokens bigint, output_tokens bigint, thought_tokens bigint,
      confirmed_nano_usd bigint, wasted_nano_usd bigint, unknown_bound_nano_usd bigint, unknown_attempts bigint)
   WHERE ($1::text IS NULL OR user_id = $1) AND ($2::text IS NULL OR model = $2)
     AND emulated = ANY (ARRAY(SELECT emulated FROM shown))
{{parts}}
), summed AS MATERIALIZED (
  SELECT user_id, total_v1(prompts) AS prompts, total_v1(completed) AS completed, total_v1(failed) AS failed,
         total_v1(input_tokens) AS input_tokens, total_v1(output_tokens) AS output_tokens,
         total_v1(thought_tokens) AS thought_tokens, total_v1(confirmed) AS confirmed,
         total_v1(wasted) AS wasted, total_v1(unknown_bound) AS unknown_bound,
         total_v1(unknown_attempts) AS unknown_attempts, total_v1(notional) AS notional
    FROM parts GROUP BY user_id
  -- A row may have no prompt, but what attempts cost whose prompts are counted on the other side of `emulated`.
  HAVING total_v1(prompts) + total_v1(input_tokens) + total_v1(output_tokens) + total_v1(thought_tokens)
         + total_v1(confirmed) + total_v1(wasted) + total_v1(unknown_bound)
         + total_v1(unknown_attempts) > 0
), listed AS (
  (SELECT user_id, 1 AS users, prompts, completed, failed, input_tokens, output_tokens, thought_tokens, confirmed, wasted,
          unknown_bound, unknown_attempts, notional
     FROM summed ORDER BY confirmed + wasted DESC, prompts DESC, user_id COLLATE "C" LIMIT $6::integer)
  UNION ALL
  SELECT NULL, count(*), total_v1(prompts), total_v1(completed), total_v1(failed), total_v1(input_tokens),
         total_v1(output_tokens), total_v1(thought_tokens), total_v1(confirmed), total_v1(wasted), total_v1(unknown_bound),
         total_v1(unknown_attempts), total_v1(notional)
    FROM summed WHERE (SELECT count(*) FROM summed) > $6 HAVING count(*) > 0
)
SELECT c.position, c.as_of, l.*
  FROM (SELECT position, as_of FROM cursor WHERE name = 'prompts' AND version = {{version}} AND lane = 0) c
  FULL JOIN listed l ON false
 ORDER BY c.position, l.user_id IS NULL, l.confirmed + l.wasted DESC, l.prompts DESC, l.user_id COLLATE "C"
