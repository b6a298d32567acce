-- in:  $1 user id, $2 model: null for any; $3 emulated prompts: default | only | include
--      $4 segments of the range: JSON array of { level, from, to, sign }, what is read of each level and added or taken off
--      $5 corrections to a look back, JSON array of rows of usage; $6 position looked back to, or null for now
--      $7 how many users; those who spent most come first (confirmed and wasted), the others are summed in one row without a name
-- out: spending of each user on prompts submitted in the range, and of how many users a row speaks;
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
    confirmed_nano_usd bigint, wasted_nano_usd bigint, unknown_bound_nano_usd bigint)
), parts AS (
  SELECT p.* FROM segments s CROSS JOIN LATERAL (
    SELECT t.user_id, s.sign * (queued + running + retrying + completed + failed + cancelled + expired) AS prompts,
           s.sign * completed AS completed, s.sign * failed AS failed,
           s.sign * input_tokens AS input_tokens, s.sign * output_tokens AS output_tokens,
           s.sign * thought_tokens AS thought_tokens, s.sign * confirmed_nano_usd AS confirmed,
           s.sign * wasted_nano_usd AS wasted, s.sign * unknown_bound_nano_usd AS unknown_bound,
           CASE WHEN t.emulated THEN s.sign * (confirmed_nano_usd + wasted_nano_usd) ELSE 0 END AS notional
      FROM usage_v{{version}} t
     WHERE $1::text IS NOT NULL AND t.user_id = $1 AND ($2::text IS NULL OR t.model = $2)
       AND t.level = s.level AND t.bucket >= s."from" AND t.bucket < s."to"
       AND t.emulated = ANY (ARRAY(SELECT emulated FROM shown)) OFFSET 0) p
  UNION ALL
  SELECT p.* FROM segments s CROSS JOIN LATERAL (
    SELECT t.user_id, s.sign * (queued + running + retrying + completed + failed + cancelled + expired) AS prompts,
           s.sign * completed AS completed, s.sign * failed AS failed,
           s.sign * input_tokens AS input_tokens, s.sign * output_tokens AS output_tokens,
           s.sign * thought_tokens AS thought_tokens, s.sign * confirmed_nano_usd AS confirmed,
           s.sign * wasted_nano_usd AS wasted, s.sign * unknown_bound_nano_usd AS unknown_bound,
           CASE WHEN t.emulated THEN s.sign * (confirmed_nano_usd + wasted_nano_usd) ELSE 0 END AS notional
      FROM usage_v{{version}} t
     WHERE $1 IS NULL AND ($2 IS NOT NULL OR s.level = 0) AND ($2 IS NULL OR t.model = $2)
       AND t.level = s.level AND t.bucket >= s."from" AND t.bucket < s."to"
       AND t.emulated = ANY (ARRAY(SELECT emulated FROM shown)) OFFSET 0) p
  UNION ALL
  SELECT p.* FROM segments s CROSS JOIN LATERAL (
    SELECT t.user_id, s.sign * (queued + running + retrying + completed + failed + cancelled + expired) AS prompts,
           s.sign * completed AS completed, s.sign * failed AS failed,
           s.sign * input_tokens AS input_tokens, s.sign * output_tokens AS output_tokens,
           s.sign * thought_tokens AS thought_tokens, s.sign * confirmed_nano_usd AS confirmed,
           s.sign * wasted_nano_usd AS wasted, s.sign * unknown_bound_nano_usd AS unknown_bound,
           CASE WHEN t.emulated THEN s.sign * (confirmed_nano_usd + wasted_nano_usd) ELSE 0 END AS notional
      FROM user_usage_v{{version}} t
     WHERE $1 IS NULL AND $2 IS NULL AND s.level > 0
       AND t.level = s.level AND t.bucket >= s."from" AND t.bucket < s."to"
       AND t.emulated = ANY (ARRAY(SELECT emulated FROM shown)) OFFSET 0) p
  UNION ALL
  SELECT user_id, queued + running + retrying + completed + failed + cancelled + expired, completed, failed,
         input_tokens, output_tokens, thought_tokens, confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd,
         CASE WHEN emulated THEN confirmed_nano_usd + wasted_nano_usd ELSE 0 END
    FROM deltas WHERE emulated = ANY (ARRAY(SELECT emulated FROM shown))
), summed AS MATERIALIZED (
  SELECT user_id, total_v1(prompts) AS prompts, total_v1(completed) AS completed, total_v1(failed) AS failed,
         total_v1(input_tokens) AS input_tokens, total_v1(output_tokens) AS output_tokens,
         total_v1(thought_tokens) AS thought_tokens, total_v1(confirmed) AS confirmed,
         total_v1(wasted) AS wasted, total_v1(unknown_bound) AS unknown_bound, total_v1(notional) AS notional
    FROM parts GROUP BY user_id
  -- A row may have no prompt, but what attempts cost whose prompts are counted on the other side of `emulated`.
  HAVING total_v1(prompts) + total_v1(input_tokens) + total_v1(output_tokens) + total_v1(thought_tokens)
         + total_v1(confirmed) + total_v1(wasted) + total_v1(unknown_bound) > 0
), top AS MATERIALIZED (
  SELECT * FROM summed ORDER BY confirmed + wasted DESC, prompts DESC, user_id COLLATE "C" LIMIT $7::integer
), all_sum AS (
  SELECT count(*) AS users, total_v1(prompts) AS prompts, total_v1(completed) AS completed, total_v1(failed) AS failed,
         total_v1(input_tokens) AS input_tokens, total_v1(output_tokens) AS output_tokens,
         total_v1(thought_tokens) AS thought_tokens, total_v1(confirmed) AS confirmed,
         total_v1(wasted) AS wasted, total_v1(unknown_bound) AS unknown_bound, total_v1(notional) AS notional FROM summed
), top_sum AS (
  SELECT count(*) AS users, total_v1(prompts) AS prompts, total_v1(completed) AS completed, total_v1(failed) AS failed,
         total_v1(input_tokens) AS input_tokens, total_v1(output_tokens) AS output_tokens,
         total_v1(thought_tokens) AS thought_tokens, total_v1(confirmed) AS confirmed,
         total_v1(wasted) AS wasted, total_v1(unknown_bound) AS unknown_bound, total_v1(notional) AS notional FROM top
), listed AS (
  SELECT row_number() OVER (ORDER BY confirmed + wasted DESC, prompts DESC, user_id COLLATE "C") AS place, user_id, 1 AS users,
         prompts, completed, failed, input_tokens, output_tokens, thought_tokens, confirmed, wasted, unknown_bound,
         notional
    FROM top
  UNION ALL
  SELECT 9223372036854775807, NULL, a.users - t.users, a.prompts - t.prompts, a.completed - t.completed,
         a.failed - t.failed, a.input_tokens - t.input_tokens,
         a.output_tokens - t.output_tokens, a.thought_tokens - t.thought_tokens, a.confirmed - t.confirmed,
         a.wasted - t.wasted, a.unknown_bound - t.unknown_bound,
         a.notional - t.notional
    FROM all_sum a CROSS JOIN top_sum t WHERE a.users > t.users
)
SELECT c.position, c.as_of, l.place IS NULL AS nothing, l.user_id, l.users::text,
       l.prompts::text, l.completed::text, l.failed::text, l.input_tokens::text, l.output_tokens::text,
       l.thought_tokens::text, l.confirmed::text, l.wasted::text, l.unknown_bound::text,
       l.notional::text
  FROM cursor c LEFT JOIN listed l ON true
 WHERE c.name = 'prompts' AND c.version = {{version}} AND c.lane = 0
 ORDER BY l.place
