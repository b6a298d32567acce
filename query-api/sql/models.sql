-- in:  $1 user id, $2 model: null for any; $3 emulated prompts: default | only | include
--      $4 segments of the range: JSON array of { level, from, to, sign }, what is read of each level and added or taken off
--      $5 corrections to a look back, JSON array of rows of usage; $6 position looked back to, or null for now
-- out: popularity of each model among prompts submitted in the range;
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
    confirmed_nano_usd bigint, wasted_nano_usd bigint, unknown_attempts bigint)
), parts AS (
  SELECT p.* FROM segments s CROSS JOIN LATERAL (
    SELECT t.model, s.sign * (queued + running + retrying + completed + failed + cancelled + expired) AS prompts,
           s.sign * completed AS completed, s.sign * failed AS failed,
           s.sign * input_tokens AS input_tokens, s.sign * output_tokens AS output_tokens,
           s.sign * thought_tokens AS thought_tokens, s.sign * confirmed_nano_usd AS confirmed,
           s.sign * wasted_nano_usd AS wasted, s.sign * unknown_attempts AS unknown,
           CASE WHEN t.emulated THEN s.sign * (confirmed_nano_usd + wasted_nano_usd) ELSE 0 END AS notional
      FROM usage_v{{version}} t
     WHERE $1::text IS NOT NULL AND t.user_id = $1 AND ($2::text IS NULL OR t.model = $2)
       AND t.level = s.level AND t.bucket >= s."from" AND t.bucket < s."to"
       AND t.emulated = ANY (ARRAY(SELECT emulated FROM shown)) OFFSET 0) p
  UNION ALL
  SELECT p.* FROM segments s CROSS JOIN LATERAL (
    SELECT t.model, s.sign * (queued + running + retrying + completed + failed + cancelled + expired) AS prompts,
           s.sign * completed AS completed, s.sign * failed AS failed,
           s.sign * input_tokens AS input_tokens, s.sign * output_tokens AS output_tokens,
           s.sign * thought_tokens AS thought_tokens, s.sign * confirmed_nano_usd AS confirmed,
           s.sign * wasted_nano_usd AS wasted, s.sign * unknown_attempts AS unknown,
           CASE WHEN t.emulated THEN s.sign * (confirmed_nano_usd + wasted_nano_usd) ELSE 0 END AS notional
      FROM model_usage_v{{version}} t
     WHERE $1 IS NULL AND ($2 IS NULL OR t.model = $2)
       AND t.level = s.level AND t.bucket >= s."from" AND t.bucket < s."to"
       AND t.emulated = ANY (ARRAY(SELECT emulated FROM shown)) OFFSET 0) p
  UNION ALL
  SELECT model, queued + running + retrying + completed + failed + cancelled + expired, completed, failed,
         input_tokens, output_tokens, thought_tokens, confirmed_nano_usd, wasted_nano_usd, unknown_attempts,
         CASE WHEN emulated THEN confirmed_nano_usd + wasted_nano_usd ELSE 0 END
    FROM deltas WHERE emulated = ANY (ARRAY(SELECT emulated FROM shown))
), summed AS (
  SELECT model, total_v1(prompts) AS prompts, total_v1(completed) AS completed, total_v1(failed) AS failed,
         total_v1(input_tokens) AS input_tokens, total_v1(output_tokens) AS output_tokens,
         total_v1(thought_tokens) AS thought_tokens,
         total_v1(confirmed) AS confirmed, total_v1(wasted) AS wasted, total_v1(unknown) AS unknown, total_v1(notional) AS notional
    FROM parts GROUP BY model
  -- A row may have no prompt, but what attempts cost whose prompts are counted on the other side of `emulated`.
  HAVING total_v1(prompts) + total_v1(input_tokens) + total_v1(output_tokens) + total_v1(thought_tokens)
         + total_v1(confirmed) + total_v1(wasted) + total_v1(unknown) > 0
), pieces AS (
  SELECT p.model, p.emulated, p.piece, bit_or(p.users) AS users FROM segments s CROSS JOIN LATERAL (
    SELECT t.model, t.emulated, t.piece, t.users FROM model_user_v{{version}} t
     WHERE $1 IS NULL AND ($2 IS NULL OR t.model = $2)
       AND t.level = s.level AND t.bucket >= s."from" AND t.bucket < s."to"
       AND t.emulated = ANY (ARRAY(SELECT emulated FROM shown)) OFFSET 0) p
   GROUP BY p.model, p.emulated, p.piece
), judged AS (
  -- Users of whom the look back saw more or fewer prompts of a model than there are now: had they any?
  SELECT d.model, d.emulated, n.number / 512 AS piece, set_bit(0::bit(512), n.number % 512, 1) AS bit,
         d.prompts + coalesce((
           SELECT sum(p.prompts) FROM segments s CROSS JOIN LATERAL (
             SELECT queued + running + retrying + completed + failed + cancelled + expired AS prompts FROM usage_v{{version}} t
              WHERE t.user_id = d.user_id AND t.model = d.model AND t.emulated = d.emulated
                AND t.level = s.level AND t.bucket >= s."from" AND t.bucket < s."to" OFFSET 0) p), 0) > 0 AS present
    FROM (SELECT user_id, model, emulated,
                 sum(queued + running + retrying + completed + failed + cancelled + expired) AS prompts
            FROM deltas
           WHERE $1 IS NULL AND emulated = ANY (ARRAY(SELECT emulated FROM shown))
           GROUP BY user_id, model, emulated) d
   CROSS JOIN LATERAL (SELECT number FROM user_number_v{{version}} WHERE user_id = d.user_id OFFSET 0) n
), marks AS (
  SELECT model, emulated, piece, ~ bit_or(bit) AS others, bit_or(CASE WHEN present THEN bit ELSE 0::bit(512) END) AS present
    FROM judged GROUP BY model, emulated, piece
), people AS (
  SELECT model, sum(bit_count(users)) AS users FROM (
    SELECT model, piece, bit_or((coalesce(p.users, 0::bit(512)) & coalesce(m.others, ~ 0::bit(512)))
                                | coalesce(m.present, 0::bit(512))) AS users
      FROM pieces p FULL JOIN marks m USING (model, emulated, piece) GROUP BY model, piece) u
   GROUP BY model
)
SELECT c.position, c.as_of, s.model, s.prompts::text, s.input_tokens::text, s.output_tokens::text,
       s.thought_tokens::text, s.confirmed::text, s.wasted::text, s.notional::text,
       CASE WHEN s.prompts = 0 THEN 0 WHEN $1 IS NULL THEN u.users ELSE 1 END AS users
  FROM cursor c LEFT JOIN (summed s LEFT JOIN people u ON u.model = s.model) ON true
 WHERE c.name = 'prompts' AND c.version = {{version}} AND c.lane = 0
 ORDER BY s.prompts DESC, s.model COLLATE "C"
