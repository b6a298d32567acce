-- What the read models of a version say beside what the ledger says, both at one position.
-- out: one row for each sum that differs, the largest differences first, 20 at most; `differ`: how many there are, with the
--      totals of all. No row: everything agrees.
--      what: account (of a user and model, against the ledger) | user | model (over all, as read by /stats, against the
--      accounts) | quarter (of an hour, drawn at random: of each model, against its users')
-- Users with a stream that is set aside are passed over: the ledger has its events, the read models do not.
WITH aside AS (
  SELECT DISTINCT e.data ->> 'userId' AS user_id
    FROM parked_stream p JOIN event e ON e.stream_id = p.stream_id AND e.version = 1
   WHERE p.name = 'prompts' AND p.version = :v:
), quarter AS MATERIALIZED (
  SELECT bucket FROM model_usage_v:v: WHERE level = 0 ORDER BY random() LIMIT 1
), fine AS MATERIALIZED (
  SELECT level, user_id, model, queued + running + retrying + completed + failed + cancelled + expired AS prompts,
         confirmed_nano_usd AS confirmed, wasted_nano_usd AS wasted, unknown_bound_nano_usd AS unknown_bound
    FROM usage_v:v: WHERE level = 5 OR (level = 0 AND bucket = (SELECT bucket FROM quarter))
), by_model AS (
  SELECT level, model, queued + running + retrying + completed + failed + cancelled + expired AS prompts,
         confirmed_nano_usd AS confirmed, wasted_nano_usd AS wasted, unknown_bound_nano_usd AS unknown_bound
    FROM model_usage_v:v: WHERE level = 5 OR (level = 0 AND bucket = (SELECT bucket FROM quarter))
), sides AS (
  SELECT 'account' AS what, user_id, model, 1 AS sign, prompts, confirmed, wasted, unknown_bound FROM fine WHERE level = 5
  UNION ALL
  SELECT 'account', user_id, model, -1, prompts, confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd FROM ledger_account
  UNION ALL
  SELECT 'user', user_id, NULL, 1, queued + running + retrying + completed + failed + cancelled + expired,
         confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd FROM user_usage_v:v: WHERE level = 5
  UNION ALL
  SELECT 'user', user_id, NULL, -1, prompts, confirmed, wasted, unknown_bound FROM fine WHERE level = 5
  UNION ALL
  SELECT CASE level WHEN 5 THEN 'model' ELSE 'quarter' END, NULL, model, 1, prompts, confirmed, wasted, unknown_bound FROM by_model
  UNION ALL
  SELECT CASE level WHEN 5 THEN 'model' ELSE 'quarter' END, NULL, model, -1, prompts, confirmed, wasted, unknown_bound FROM fine
), compared AS (
  SELECT what, user_id, model, abs(sum(sign * prompts)) AS prompts,
         abs(sum(sign * confirmed)) + abs(sum(sign * wasted)) + abs(sum(sign * unknown_bound)) AS nano_usd
    FROM sides GROUP BY what, user_id, model
)
SELECT what, user_id, model, prompts::text, nano_usd::text, (count(*) OVER ())::integer AS differ,
       (sum(prompts) OVER ())::text AS all_prompts, (sum(nano_usd) OVER ())::text AS all_nano_usd
  FROM compared
 WHERE (prompts <> 0 OR nano_usd <> 0) AND NOT (what = 'account' AND user_id IN (SELECT user_id FROM aside))
 ORDER BY nano_usd DESC, prompts DESC LIMIT 20
