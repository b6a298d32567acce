-- in:  $1 user id, $2 model: null for any; $3 emulated prompts: default | only | include
--      $4 segments of the range: JSON array of { level, from, to, sign }, what is read of each level and added or taken off
--      $5 corrections to a look back, JSON array of rows of usage; $6 position looked back to, or null for now
-- out: how many there are of each code of contracts/prompt/histogram.ts, upwards;
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
  SELECT * FROM jsonb_to_recordset($5::jsonb) AS d(emulated boolean, bins bigint[])
), parts AS (
  SELECT b & 4095 AS code, b >> 12 AS n FROM segments s CROSS JOIN LATERAL (
    SELECT t.bins FROM usage_v{{version}} t
     WHERE $1::text IS NOT NULL AND t.user_id = $1 AND ($2::text IS NULL OR t.model = $2)
       AND t.level = s.level AND t.bucket >= s."from" AND t.bucket < s."to"
       AND t.emulated = ANY (ARRAY(SELECT emulated FROM shown)) OFFSET 0) p
   CROSS JOIN unnest(p.bins) b
  UNION ALL
  SELECT b & 4095, b >> 12 FROM segments s CROSS JOIN LATERAL (
    SELECT t.bins FROM model_usage_v{{version}} t
     WHERE $1 IS NULL AND ($2 IS NULL OR t.model = $2)
       AND s.level < 2 AND t.level = s.level AND t.bucket >= s."from" AND t.bucket < s."to"
       AND t.emulated = ANY (ARRAY(SELECT emulated FROM shown)) OFFSET 0) p
   CROSS JOIN unnest(p.bins) b
  UNION ALL
  SELECT p.* FROM segments s CROSS JOIN LATERAL (
    SELECT t.bin, t.n FROM model_latency_v{{version}} t
     WHERE $1 IS NULL AND ($2 IS NULL OR t.model = $2)
       AND s.level > 1 AND t.level = s.level AND t.bucket >= s."from" AND t.bucket < s."to"
       AND t.emulated = ANY (ARRAY(SELECT emulated FROM shown)) OFFSET 0) p
  UNION ALL
  SELECT b & 4095, b >> 12 FROM deltas d CROSS JOIN unnest(d.bins) b
   WHERE d.emulated = ANY (ARRAY(SELECT emulated FROM shown))
), summed AS (
  SELECT code, total_v1(n) AS n FROM parts GROUP BY code HAVING total_v1(n) > 0
)
SELECT c.position, c.as_of, s.code::integer, s.n::text
  FROM cursor c LEFT JOIN summed s ON true
 WHERE c.name = 'prompts' AND c.version = {{version}} AND c.lane = 0
 ORDER BY s.code
