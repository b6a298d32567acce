-- What the read models of a version say beside what the ledger says, both at one position.
-- out: one row for each sum that differs, the largest differences first, 20 at most; `differ`: how many there are, with the
--      totals of all. No row: everything agrees.
--      what: account (of a user and model) | user | model (over all, as read by /stats) | quarter (an hour's quarter drawn at
--      random, of each model)
-- Users with a stream that is set aside are passed over: the ledger has its events, the read models do not.
WITH aside AS (
  SELECT DISTINCT e.data ->> 'userId' AS user_id
    FROM parked_stream p JOIN event e ON e.stream_id = p.stream_id AND e.version = 1
   WHERE p.name = 'prompts' AND p.version = :v:
), fine AS MATERIALIZED (
  SELECT user_id, model, sum(queued + running + retrying + completed + failed + cancelled + expired) AS prompts,
         sum(confirmed_nano_usd) AS confirmed, sum(wasted_nano_usd) AS wasted, sum(unknown_bound_nano_usd) AS unknown_bound
    FROM usage_v:v: WHERE level = 5 GROUP BY user_id, model
), quarter AS MATERIALIZED (
  SELECT bucket FROM model_usage_v:v: WHERE level = 0 ORDER BY random() LIMIT 1
), pairs AS (
  SELECT 'account' AS what, user_id, model, f.prompts, f.confirmed, f.wasted, f.unknown_bound,
         a.prompts AS of_prompts, a.confirmed_nano_usd AS of_confirmed, a.wasted_nano_usd AS of_wasted,
         a.unknown_bound_nano_usd AS of_unknown_bound
    FROM fine f FULL JOIN ledger_account a USING (user_id, model) WHERE user_id NOT IN (SELECT user_id FROM aside)
  UNION ALL
  SELECT 'user', user_id, NULL, u.prompts, u.confirmed, u.wasted, u.unknown_bound, f.prompts, f.confirmed, f.wasted,
         f.unknown_bound
    FROM (SELECT user_id, sum(queued + running + retrying + completed + failed + cancelled + expired) AS prompts,
                 sum(confirmed_nano_usd) AS confirmed, sum(wasted_nano_usd) AS wasted,
                 sum(unknown_bound_nano_usd) AS unknown_bound
            FROM user_usage_v:v: WHERE level = 5 GROUP BY user_id) u
    FULL JOIN (SELECT user_id, sum(prompts) AS prompts, sum(confirmed) AS confirmed, sum(wasted) AS wasted,
                      sum(unknown_bound) AS unknown_bound FROM fine GROUP BY user_id) f USING (user_id)
  UNION ALL
  SELECT 'model', NULL, model, u.prompts, u.confirmed, u.wasted, u.unknown_bound, f.prompts, f.confirmed, f.wasted,
         f.unknown_bound
    FROM (SELECT model, sum(queued + running + retrying + completed + failed + cancelled + expired) AS prompts,
                 sum(confirmed_nano_usd) AS confirmed, sum(wasted_nano_usd) AS wasted,
                 sum(unknown_bound_nano_usd) AS unknown_bound
            FROM model_usage_v:v: WHERE level = 5 GROUP BY model) u
    FULL JOIN (SELECT model, sum(prompts) AS prompts, sum(confirmed) AS confirmed, sum(wasted) AS wasted,
                      sum(unknown_bound) AS unknown_bound FROM fine GROUP BY model) f USING (model)
  UNION ALL
  SELECT 'quarter', NULL, model, u.prompts, u.confirmed, u.wasted, u.unknown_bound, f.prompts, f.confirmed, f.wasted,
         f.unknown_bound
    FROM (SELECT model, sum(queued + running + retrying + completed + failed + cancelled + expired) AS prompts,
                 sum(confirmed_nano_usd) AS confirmed, sum(wasted_nano_usd) AS wasted,
                 sum(unknown_bound_nano_usd) AS unknown_bound
            FROM model_usage_v:v: WHERE level = 0 AND bucket = (SELECT bucket FROM quarter) GROUP BY model) u
    FULL JOIN (SELECT model, sum(queued + running + retrying + completed + failed + cancelled + expired) AS prompts,
                      sum(confirmed_nano_usd) AS confirmed, sum(wasted_nano_usd) AS wasted,
                      sum(unknown_bound_nano_usd) AS unknown_bound
                 FROM usage_v:v: WHERE level = 0 AND bucket = (SELECT bucket FROM quarter) GROUP BY model) f USING (model)
), differing AS (
  SELECT what, user_id, model, abs(coalesce(prompts, 0) - coalesce(of_prompts, 0)) AS prompts,
         abs(coalesce(confirmed, 0) - coalesce(of_confirmed, 0)) + abs(coalesce(wasted, 0) - coalesce(of_wasted, 0))
           + abs(coalesce(unknown_bound, 0) - coalesce(of_unknown_bound, 0)) AS nano_usd
    FROM pairs
)
SELECT what, user_id, model, prompts::text, nano_usd::text, (count(*) OVER ())::integer AS differ,
       (sum(prompts) OVER ())::text AS all_prompts, (sum(nano_usd) OVER ())::text AS all_nano_usd
  FROM differing WHERE prompts <> 0 OR nano_usd <> 0
 ORDER BY nano_usd DESC, prompts DESC LIMIT 20
