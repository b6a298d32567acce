-- in:  $1 keys of sums that prompts, or anything at all, were only taken from: JSON array of { bucket, user_id, model, emulated }
-- Rows of nothing but zeros go, at every level: whether one ever stood there depends on where batches were cut, and a
-- rebuilt table must be equal to the live one. A row without prompts may stay: it has what attempts cost whose prompts are
-- counted on the other side of `emulated`. With a row's last prompt goes its user's bit.
WITH keys AS MATERIALIZED (
  SELECT DISTINCT l.level, level_start_v1(l.level, r.bucket) AS bucket, r.user_id, r.model, r.emulated
    FROM jsonb_to_recordset($1) AS r(bucket timestamptz, user_id text, model text, emulated boolean)
   CROSS JOIN unnest('{0,1,2,3,4,5}'::smallint[]) AS l(level)
), gone AS (
  SELECT k.* FROM keys k JOIN usage_v:v: t
      ON t.level = k.level AND t.bucket = k.bucket AND t.user_id = k.user_id AND t.model = k.model AND t.emulated = k.emulated
   WHERE (queued, running, retrying, completed, failed, cancelled, expired) = (0, 0, 0, 0, 0, 0, 0)
), usages AS (
  DELETE FROM usage_v:v: t USING keys k
   WHERE t.level = k.level AND t.bucket = k.bucket AND t.user_id = k.user_id AND t.model = k.model AND t.emulated = k.emulated
     AND (queued, running, retrying, completed, failed, cancelled, expired) = (0, 0, 0, 0, 0, 0, 0)
     AND (input_tokens, cached_input_tokens, output_tokens, thought_tokens) = (0, 0, 0, 0)
     AND (confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd, unknown_attempts) = (0, 0, 0, 0)
), users AS (
  DELETE FROM user_usage_v:v: t USING (SELECT DISTINCT level, bucket, user_id, emulated FROM keys) k
   WHERE t.level = k.level AND t.bucket = k.bucket AND t.user_id = k.user_id AND t.emulated = k.emulated
     AND (queued, running, retrying, completed, failed, cancelled, expired) = (0, 0, 0, 0, 0, 0, 0)
     AND (input_tokens, cached_input_tokens, output_tokens, thought_tokens) = (0, 0, 0, 0)
     AND (confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd, unknown_attempts) = (0, 0, 0, 0)
), models AS (
  DELETE FROM model_usage_v:v: t USING (SELECT DISTINCT level, bucket, model, emulated FROM keys) k
   WHERE t.level = k.level AND t.bucket = k.bucket AND t.model = k.model AND t.emulated = k.emulated
     AND (queued, running, retrying, completed, failed, cancelled, expired) = (0, 0, 0, 0, 0, 0, 0)
     AND (input_tokens, cached_input_tokens, output_tokens, thought_tokens) = (0, 0, 0, 0)
     AND (confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd, unknown_attempts) = (0, 0, 0, 0)
), model_latencies AS (
  DELETE FROM model_latency_v:v: t USING (SELECT DISTINCT level, bucket, model, emulated FROM keys) k
   WHERE t.level = k.level AND t.bucket = k.bucket AND t.model = k.model AND t.emulated = k.emulated AND t.n = 0
), marks AS MATERIALIZED (
  SELECT g.level, g.bucket, g.model, g.emulated, n.number / 512 AS piece,
         ~ bit_or(set_bit(0::bit(512), n.number % 512, 1)) AS others
    FROM gone g JOIN user_number_v:v: n ON n.user_id = g.user_id GROUP BY 1, 2, 3, 4, 5
), cleared AS (
  UPDATE model_user_v:v: t SET users = t.users & m.others FROM marks m
   WHERE t.level = m.level AND t.bucket = m.bucket AND t.model = m.model AND t.emulated = m.emulated AND t.piece = m.piece
     AND t.users & m.others <> 0::bit(512)
)
DELETE FROM model_user_v:v: t USING marks m
 WHERE t.level = m.level AND t.bucket = m.bucket AND t.model = m.model AND t.emulated = m.emulated AND t.piece = m.piece
   AND t.users & m.others = 0::bit(512)
