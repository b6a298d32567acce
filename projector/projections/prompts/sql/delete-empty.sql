-- in:  $1 keys of sums that something was only taken from: JSON array of { bucket, user_id, model, emulated }
-- Rows of nothing but zeros go: whether one ever stood there depends on where batches were cut, and a rebuilt table
-- must be equal to the live one.
WITH keys AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset($1) AS r(bucket timestamptz, user_id text, model text, emulated boolean)
), buckets AS (
  DELETE FROM usage_v:v: t USING keys k
   WHERE t.bucket = k.bucket AND t.user_id = k.user_id AND t.model = k.model AND t.emulated = k.emulated
     AND (queued, running, retrying, completed, failed, cancelled, expired) = (0, 0, 0, 0, 0, 0, 0)
), totals AS (
  DELETE FROM usage_total_v:v: t USING (SELECT DISTINCT user_id, model, emulated FROM keys) k
   WHERE t.user_id = k.user_id AND t.model = k.model AND t.emulated = k.emulated
     AND (queued, running, retrying, completed, failed, cancelled, expired) = (0, 0, 0, 0, 0, 0, 0)
)
DELETE FROM latency_v:v: t USING keys k
 WHERE t.bucket = k.bucket AND t.user_id = k.user_id AND t.model = k.model AND t.emulated = k.emulated AND t.n = 0
