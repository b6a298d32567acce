-- Of the span that is drawn: histograms of latencies beside those of the next finer level and beside the prompts that were
-- completed, each of which is in one bin of each measure; and which users a model had, beside the users that have prompts.
-- in:  $1 level, $2 where among its spans, 0 (the first) to 1 (exclusive): as in audit.sql
-- out: one row for each that differs, the largest differences first, 20 at most; `differ`: how many there are. No row: all agree.
--      what: latency: a user's, of a quarter of an hour; prompts: how many are in no bin, or in one too many
--            model_latency: a model's over all users; prompts: so many, or how many are in another bin than at the finer level,
--              which is below a quarter of an hour that of its users
--            model_user: users: how many are marked and have no prompt, or have one and are not
WITH spans AS MATERIALIZED (
  SELECT bucket, row_number() OVER (ORDER BY bucket) - 1 AS place, count(*) OVER () AS spans
    FROM (SELECT DISTINCT bucket FROM model_usage_v:v: WHERE level = $1::smallint) b
), drawn AS MATERIALIZED (
  SELECT $1::smallint AS level, bucket,
         bucket + (ARRAY['15 minutes', '1 hour', '1 day', '4 days', '16 days', '100000 days'])[$1 + 1]::interval AS til
    FROM spans WHERE place = floor($2::float8 * spans)
), usages AS MATERIALIZED (
  -- usage has no hours
  SELECT user_id, model, emulated, completed, bins, queued + running + retrying + completed + failed + cancelled + expired > 0 AS has_prompts
    FROM usage_v:v: WHERE level = $1 AND bucket = (SELECT bucket FROM drawn)
), user_bins AS MATERIALIZED (
  SELECT user_id, model, emulated, (b & 4095) / 1024 AS measure, b & 4095 AS bin, b >> 12 AS n
    FROM usages CROSS JOIN unnest(bins) AS b
), model_bins AS MATERIALIZED (
  -- Quarters and hours have them in the row of their sums, longer spans in rows of their own.
  SELECT t.level, t.model, t.emulated, (b & 4095) / 1024 AS measure, b & 4095 AS bin, b >> 12 AS n
    FROM drawn d CROSS JOIN LATERAL (
      SELECT level, model, emulated, bins FROM model_usage_v:v: m
       WHERE m.level IN (d.level, d.level - 1) AND m.bucket >= d.bucket AND m.bucket < d.til OFFSET 0) t
   CROSS JOIN unnest(t.bins) AS b
  UNION ALL
  SELECT t.level, t.model, t.emulated, t.bin / 1024, t.bin, t.n FROM drawn d CROSS JOIN LATERAL (
    SELECT * FROM model_latency_v:v: m
     WHERE m.level IN (d.level, d.level - 1) AND m.bucket >= d.bucket AND m.bucket < d.til OFFSET 0) t
), sides AS (
  SELECT 'model_latency' AS what, NULL AS user_id, model, emulated, measure, bin, CASE WHEN level = $1 THEN n ELSE -n END AS n
    FROM model_bins
  UNION ALL SELECT 'model_latency', NULL, model, emulated, measure, bin, -n FROM user_bins
  UNION ALL SELECT 'model_latency', NULL, model, emulated, measure, NULL, n FROM model_bins WHERE level = $1
  UNION ALL
  SELECT 'model_latency', NULL, model, emulated, m.measure, NULL, -completed
    FROM model_usage_v:v: CROSS JOIN unnest('{0,1,2}'::integer[]) m(measure)
   WHERE level = $1 AND bucket = (SELECT bucket FROM drawn)
  UNION ALL SELECT 'latency', user_id, model, emulated, measure, NULL, n FROM user_bins
  UNION ALL
  SELECT 'latency', user_id, model, emulated, m.measure, NULL, -completed
    FROM usages CROSS JOIN unnest('{0,1,2}'::integer[]) m(measure) WHERE $1 = 0
), bins AS (
  SELECT what, user_id, model, emulated, bin, sum(n) AS n FROM sides GROUP BY what, user_id, model, emulated, measure, bin
), marks AS (
  SELECT u.model, u.emulated, n.number / 512 AS piece, bit_or(set_bit(0::bit(512), n.number % 512, 1)) AS users
    FROM usages u JOIN user_number_v:v: n USING (user_id) WHERE u.has_prompts GROUP BY u.model, u.emulated, n.number / 512
), users AS (
  SELECT model, emulated, bit_count(coalesce(m.users, 0::bit(512)) # coalesce(t.users, 0::bit(512))) AS users
    FROM marks m FULL JOIN (SELECT model, emulated, piece, users FROM model_user_v:v:
                             WHERE level = $1 AND bucket = (SELECT bucket FROM drawn)) t USING (model, emulated, piece)
  UNION ALL
  SELECT model, emulated, count(*) FROM usages u
   WHERE has_prompts AND NOT EXISTS (SELECT FROM user_number_v:v: n WHERE n.user_id = u.user_id) GROUP BY model, emulated
), compared AS (
  -- One that is in another bin, or one more in a bin, is told once.
  SELECT what, user_id, model, emulated,
         greatest(sum(n) FILTER (WHERE n > 0 AND bin IS NULL), -sum(n) FILTER (WHERE n < 0 AND bin IS NULL),
                  sum(n) FILTER (WHERE n > 0 AND bin IS NOT NULL), -sum(n) FILTER (WHERE n < 0 AND bin IS NOT NULL), 0) AS prompts,
         0 AS users
    FROM bins GROUP BY what, user_id, model, emulated
  UNION ALL
  SELECT 'model_user', NULL, model, emulated, 0, sum(users) FROM users GROUP BY model, emulated
)
SELECT what, (SELECT bucket FROM drawn) AS bucket, user_id, model, emulated, prompts::text, users::text,
       (count(*) OVER ())::integer AS differ
  FROM compared WHERE prompts > 0 OR users > 0
 ORDER BY compared.prompts DESC, compared.users DESC, what, model, user_id LIMIT 20
