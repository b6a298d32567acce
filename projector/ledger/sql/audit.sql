-- What the read models of a version say beside what the ledger says, both at one position; and what their levels and tables
-- say of each other, at a place that is drawn.
-- in:  $1 level, $2 where among its spans, 0 (the first) to 1 (exclusive)
-- out: one row for each sum that differs, the largest differences first, 20 at most; `differ`: how many there are, with the
--      totals of all. No row: everything agrees.
--      what: account: all of a user and model, against the ledger: money by who was called, prompts of both sides together
--            user, model: over all models or users, against usage of the same span, of all time and of the span drawn
--            span: usage of the span drawn, against that of the next finer level; model_span: the same over all users
--      prompts: how many more or fewer, and 1 where as many are counted under other statuses: `states` adds these up so that prompts
--      which are under another one do not add up to nothing.
-- Users with a stream that is set aside are passed over in accounts: the ledger has its events, the read models do not.
WITH aside AS (
  SELECT DISTINCT e.data ->> 'userId' AS user_id
    FROM parked_stream p JOIN event e ON e.stream_id = p.stream_id AND e.version = 1
   WHERE p.name = 'prompts' AND p.version = :v:
), spans AS MATERIALIZED (
  SELECT bucket, row_number() OVER (ORDER BY bucket) - 1 AS place, count(*) OVER () AS spans
    FROM (SELECT DISTINCT bucket FROM model_usage_v:v: WHERE level = $1::smallint) b
), drawn AS MATERIALIZED (
  SELECT $1::smallint AS level, bucket,
         bucket + (ARRAY['15 minutes', '1 hour', '1 day', '4 days', '16 days', '100000 days'])[$1 + 1]::interval AS til,
         -- usage has no hours
         (ARRAY[NULL, NULL, 0, 2, 3, 4]::smallint[])[$1 + 1] AS finer
    FROM spans WHERE place = floor($2::float8 * spans)
), usages AS MATERIALIZED (
  SELECT level, bucket, user_id, model, emulated, queued + running + retrying + completed + failed + cancelled + expired AS prompts,
         queued + 3 * running + 9 * retrying + 27 * completed + 81 * failed + 243 * cancelled + 729 * expired AS states,
         confirmed_nano_usd AS confirmed, wasted_nano_usd AS wasted, unknown_bound_nano_usd AS unknown_bound, unknown_attempts,
         input_tokens, cached_input_tokens, output_tokens, thought_tokens FROM usage_v:v: WHERE level = 5
  UNION ALL
  SELECT level, bucket, user_id, model, emulated, queued + running + retrying + completed + failed + cancelled + expired,
         queued + 3 * running + 9 * retrying + 27 * completed + 81 * failed + 243 * cancelled + 729 * expired,
         confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd, unknown_attempts,
         input_tokens, cached_input_tokens, output_tokens, thought_tokens
    FROM usage_v:v: WHERE level < 5 AND level = $1 AND bucket = (SELECT bucket FROM drawn)
), models AS MATERIALIZED (
  SELECT level, bucket, model, emulated, queued + running + retrying + completed + failed + cancelled + expired AS prompts,
         queued + 3 * running + 9 * retrying + 27 * completed + 81 * failed + 243 * cancelled + 729 * expired AS states,
         confirmed_nano_usd AS confirmed, wasted_nano_usd AS wasted, unknown_bound_nano_usd AS unknown_bound, unknown_attempts,
         input_tokens, cached_input_tokens, output_tokens, thought_tokens FROM model_usage_v:v: WHERE level = 5
  UNION ALL
  SELECT level, bucket, model, emulated, queued + running + retrying + completed + failed + cancelled + expired,
         queued + 3 * running + 9 * retrying + 27 * completed + 81 * failed + 243 * cancelled + 729 * expired,
         confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd, unknown_attempts,
         input_tokens, cached_input_tokens, output_tokens, thought_tokens
    FROM model_usage_v:v: WHERE level < 5 AND level = $1 AND bucket = (SELECT bucket FROM drawn)
), sides AS (
  SELECT 'account' AS what, NULL::smallint AS level, NULL::timestamptz AS bucket, user_id, model, emulated, 1 AS sign, 0 AS prompts, 0 AS states,
         confirmed, wasted, unknown_bound, 0 AS unknown_attempts, 0 AS input_tokens, 0 AS cached_input_tokens, 0 AS output_tokens, 0 AS thought_tokens
    FROM usages WHERE level = 5
  UNION ALL
  SELECT 'account', NULL, NULL, user_id, model, NULL, 1, prompts, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM usages WHERE level = 5
  UNION ALL
  SELECT 'account', NULL, NULL, user_id, model, s.emulated, -1, s.prompts, 0, s.confirmed, s.wasted, s.unknown_bound, 0, 0, 0, 0, 0
    FROM ledger_account CROSS JOIN LATERAL (VALUES
      (true, 0, notional_confirmed_nano_usd, notional_wasted_nano_usd, notional_unknown_bound_nano_usd),
      (false, 0, confirmed_nano_usd - notional_confirmed_nano_usd, wasted_nano_usd - notional_wasted_nano_usd,
       unknown_bound_nano_usd - notional_unknown_bound_nano_usd),
      (NULL, prompts, 0, 0, 0)) s(emulated, prompts, confirmed, wasted, unknown_bound)
  UNION ALL
  SELECT 'user', level, bucket, user_id, NULL, emulated, 1, queued + running + retrying + completed + failed + cancelled + expired,
         queued + 3 * running + 9 * retrying + 27 * completed + 81 * failed + 243 * cancelled + 729 * expired,
         confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd, unknown_attempts,
         input_tokens, cached_input_tokens, output_tokens, thought_tokens
    FROM user_usage_v:v: WHERE level = 5 OR (level = $1 AND bucket = (SELECT bucket FROM drawn))
  UNION ALL
  SELECT 'user', level, bucket, user_id, NULL, emulated, -1, prompts, states, confirmed, wasted, unknown_bound, unknown_attempts,
         input_tokens, cached_input_tokens, output_tokens, thought_tokens FROM usages WHERE level > 1
  UNION ALL
  SELECT 'model', level, bucket, NULL, model, emulated, 1, prompts, states, confirmed, wasted, unknown_bound, unknown_attempts,
         input_tokens, cached_input_tokens, output_tokens, thought_tokens FROM models WHERE level <> 1
  UNION ALL
  SELECT 'model', level, bucket, NULL, model, emulated, -1, prompts, states, confirmed, wasted, unknown_bound, unknown_attempts,
         input_tokens, cached_input_tokens, output_tokens, thought_tokens FROM usages
  UNION ALL
  SELECT 'span', level, bucket, user_id, model, emulated, 1, prompts, states, confirmed, wasted, unknown_bound, unknown_attempts,
         input_tokens, cached_input_tokens, output_tokens, thought_tokens FROM usages WHERE level = $1 AND level > 1
  UNION ALL
  SELECT 'span', d.level, d.bucket, t.user_id, t.model, t.emulated, -1,
         queued + running + retrying + completed + failed + cancelled + expired,
         queued + 3 * running + 9 * retrying + 27 * completed + 81 * failed + 243 * cancelled + 729 * expired,
         confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd, unknown_attempts,
         input_tokens, cached_input_tokens, output_tokens, thought_tokens
    FROM drawn d CROSS JOIN LATERAL (
      SELECT * FROM usage_v:v: u WHERE u.level = d.finer AND u.bucket >= d.bucket AND u.bucket < d.til OFFSET 0) t
  UNION ALL
  SELECT 'model_span', level, bucket, NULL, model, emulated, 1, prompts, states, confirmed, wasted, unknown_bound, unknown_attempts,
         input_tokens, cached_input_tokens, output_tokens, thought_tokens FROM models WHERE level = $1 AND level > 0
  UNION ALL
  SELECT 'model_span', d.level, d.bucket, NULL, t.model, t.emulated, -1,
         queued + running + retrying + completed + failed + cancelled + expired,
         queued + 3 * running + 9 * retrying + 27 * completed + 81 * failed + 243 * cancelled + 729 * expired,
         confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd, unknown_attempts,
         input_tokens, cached_input_tokens, output_tokens, thought_tokens
    FROM drawn d CROSS JOIN LATERAL (
      SELECT * FROM model_usage_v:v: m WHERE m.level = d.level - 1 AND m.bucket >= d.bucket AND m.bucket < d.til OFFSET 0) t
), compared AS (
  SELECT what, level, bucket, user_id, model, emulated,
         greatest(abs(sum(sign * prompts)), CASE WHEN sum(sign * states) <> 0 THEN 1 END) AS prompts,
         abs(sum(sign * confirmed)) + abs(sum(sign * wasted)) + abs(sum(sign * unknown_bound)) AS nano_usd,
         abs(sum(sign * input_tokens)) + abs(sum(sign * cached_input_tokens)) + abs(sum(sign * output_tokens))
         + abs(sum(sign * thought_tokens)) AS tokens, abs(sum(sign * unknown_attempts)) AS attempts
    FROM sides GROUP BY what, level, bucket, user_id, model, emulated
)
SELECT what, level, bucket, user_id, model, emulated, prompts::text, nano_usd::text, tokens::text, attempts::text,
       (count(*) OVER ())::integer AS differ, (sum(prompts) OVER ())::text AS all_prompts, (sum(nano_usd) OVER ())::text AS all_nano_usd
  FROM compared
 WHERE (prompts <> 0 OR nano_usd <> 0 OR tokens <> 0 OR attempts <> 0)
   AND NOT (what = 'account' AND user_id IN (SELECT user_id FROM aside))
 ORDER BY nano_usd DESC, prompts DESC, tokens DESC, attempts DESC LIMIT 20
