-- What is served, and what could be served, goes over to the tables of 20_packed_tables.sql.

-- dashboard.latency_v1: percentiles in seconds of answered prompts, as GET /stats/latency has them: within 2.5 per cent.
-- out: measure: queue_wait (until the first attempt), model_time (of the answering call), total
CREATE OR REPLACE FUNCTION dashboard.latency_v1(p_from timestamptz, p_to timestamptz, p_emulated text)
RETURNS TABLE (measure text, samples bigint, p50 numeric, p95 numeric, p99 numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  RETURN QUERY EXECUTE format($sql$
    WITH spans AS MATERIALIZED (
      SELECT * FROM dashboard.spans_v1($1, $2, '{4,3,2,1,0}')
    ), parts AS (
      SELECT m.* FROM spans s CROSS JOIN LATERAL (
        SELECT t.bin, t.n FROM model_latency_v%1$s t
         WHERE s.level > 1 AND t.level = s.level AND t.bucket >= s.since AND t.bucket < s.til AND t.emulated = ANY ($3) OFFSET 0) m
      UNION ALL
      SELECT b & 4095, b >> 12 FROM spans s CROSS JOIN LATERAL (
        SELECT t.bins FROM model_usage_v%1$s t
         WHERE s.level < 2 AND t.level = s.level AND t.bucket >= s.since AND t.bucket < s.til AND t.emulated = ANY ($3) OFFSET 0) m
       CROSS JOIN unnest(m.bins) b
    ), summed AS (
      SELECT (ARRAY['queue_wait', 'model_time', 'total'])[1 + bin / 1024] AS measure, bin %% 1024 AS bin, total_v1(n) AS n
        FROM parts GROUP BY 1, 2
    ), passed AS (
      SELECT b.measure, round((1.05 ^ (b.bin + 0.5))::numeric, 2) / 1000 AS seconds,
             sum(b.n) OVER (PARTITION BY b.measure ORDER BY b.bin) AS upto, sum(b.n) OVER (PARTITION BY b.measure) AS total
        FROM summed b WHERE b.n > 0
    )
    SELECT p.measure, min(p.total)::bigint, min(p.seconds) FILTER (WHERE p.upto >= ceil(0.50 * p.total)),
           min(p.seconds) FILTER (WHERE p.upto >= ceil(0.95 * p.total)), min(p.seconds) FILTER (WHERE p.upto >= ceil(0.99 * p.total))
      FROM passed p GROUP BY p.measure ORDER BY p.measure
  $sql$, (SELECT version FROM live_projection WHERE name = 'prompts'))
  USING p_from, p_to, dashboard.shown_v1(p_emulated);
END $fn$;

-- pack_state_v1: a state as it stood until now, packed as packState does it.
CREATE FUNCTION pack_state_v1(p_state jsonb) RETURNS text
LANGUAGE plpgsql STABLE AS $fn$
DECLARE
  submitted timestamptz := (p_state ->> 'submittedAt')::timestamptz;
  attempts text;
BEGIN
  SELECT string_agg(format('[%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s%s]', a -> 'attempt', a -> 'generation', a -> 'token',
           pack_time_v1(a -> 'startedAt', submitted), pack_time_v1(a -> 'endedAt', submitted), a -> 'end',
           CASE jsonb_typeof(a -> 'usage') WHEN 'object' THEN format('[%s,%s,%s,%s,%s]', a #> '{usage,inputTokens}',
             a #> '{usage,cachedInputTokens}', a #> '{usage,outputTokens}', a #> '{usage,thoughtTokens}', a #> '{usage,totalTokens}')
             ELSE 'null' END,
           (a -> 'emulated')::boolean::integer, a -> 'nanoUsd', a -> 'boundNanoUsd',
           CASE WHEN a -> 'priceVersion' = p_state -> 'priceVersion' THEN '0' ELSE (a -> 'priceVersion')::text END,
           CASE WHEN a ? 'ratedAnew' THEN ',1' END), ',' ORDER BY n)
    INTO attempts FROM jsonb_array_elements(p_state -> 'attempts') WITH ORDINALITY e(a, n);
  -- As JSON, so that a state which lacks something ends the migration here.
  RETURN format('[%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,[%s]]', p_state -> 'version', p_state -> 'lane', p_state -> 'retry',
    p_state -> 'generation', p_state -> 'notBefore', p_state -> 'expiresAt',
    -- numbers first, upwards, as an object of JavaScript has them
    (SELECT '{' || coalesce(string_agg(to_json(k)::text || ':' || to_json(v)::text, ',' ORDER BY
              CASE WHEN k ~ '^(0|[1-9]\d{0,9})$' AND k::bigint < 4294967295 THEN k::bigint END NULLS LAST, n), '') || '}'
       FROM jsonb_each_text(p_state -> 'metadata') WITH ORDINALITY m(k, v, n)),
    p_state -> 'boundNanoUsd', p_state -> 'priceVersion', pack_time_v1(p_state -> 'startedAt', submitted),
    pack_time_v1(p_state -> 'finishedAt', submitted), p_state -> 'finishReason', (p_state -> 'truncated')::boolean::integer,
    CASE jsonb_typeof(p_state -> 'error') WHEN 'object' THEN format('[%s,%s]', p_state #> '{error,code}', p_state #> '{error,message}')
      ELSE 'null' END, attempts)::json::text;
END $fn$;
-- pack_time_v1: milliseconds after the submission, or null
CREATE FUNCTION pack_time_v1(p_time jsonb, p_submitted timestamptz) RETURNS text
LANGUAGE sql STABLE AS $fn$
  SELECT CASE WHEN p_time = 'null' THEN 'null'
    ELSE round(extract(epoch FROM (p_time #>> '{}')::timestamptz - p_submitted) * 1000)::bigint::text END
$fn$;

-- What is served, and what could be served, goes over in place; what is being built is built anew.
DO $do$
DECLARE
  one integer;
BEGIN
  PERFORM drop_projection_version_v2(v.name, v.version) FROM projection_version v WHERE v.status = 'building';
  FOR one IN SELECT version FROM projection_version WHERE name = 'prompts' LOOP
    EXECUTE format($sql$
      CREATE TEMP TABLE unknown ON COMMIT DROP AS
        SELECT level_start_v1(0::smallint, submitted_at) AS bucket, user_id, model, (a ->> 'emulated')::boolean AS emulated, count(*) AS n
          FROM prompt_v%1$s CROSS JOIN jsonb_array_elements(state -> 'attempts') a
         WHERE a ->> 'end' <> 'open' AND a -> 'nanoUsd' = 'null' GROUP BY 1, 2, 3, 4;
      ALTER TABLE prompt_v%1$s ALTER COLUMN state TYPE text USING pack_state_v1(state);
      ALTER TABLE user_usage_v%1$s ADD COLUMN unknown_attempts bigint NOT NULL DEFAULT 0;
      ALTER TABLE usage_v%1$s ADD COLUMN unknown_attempts bigint NOT NULL DEFAULT 0, ADD COLUMN bins bigint[] NOT NULL DEFAULT '{}';
      ALTER TABLE model_usage_v%1$s ADD COLUMN unknown_attempts bigint NOT NULL DEFAULT 0, ADD COLUMN bins bigint[] NOT NULL DEFAULT '{}';
      CREATE TEMP TABLE codes ON COMMIT DROP AS
        SELECT (-1)::smallint AS level, bucket, user_id, model, emulated,
               (array_position(ARRAY['queue_wait', 'model_time', 'total'], measure) - 1) * 1024 + bin AS bin, n
          FROM latency_v%1$s
        UNION ALL
        SELECT level, bucket, NULL, model, emulated,
               (array_position(ARRAY['queue_wait', 'model_time', 'total'], measure) - 1) * 1024 + bin, n
          FROM model_latency_v%1$s;
      UPDATE usage_v%1$s t SET bins = c.bins
        FROM (SELECT bucket, user_id, model, emulated, array_agg(n * 4096 + bin ORDER BY bin) AS bins
                FROM codes WHERE level = -1 GROUP BY 1, 2, 3, 4) c
       WHERE t.level = 0 AND (t.bucket, t.user_id, t.model, t.emulated) = (c.bucket, c.user_id, c.model, c.emulated);
      UPDATE model_usage_v%1$s t SET bins = c.bins
        FROM (SELECT level, bucket, model, emulated, array_agg(n * 4096 + bin ORDER BY bin) AS bins
                FROM codes WHERE level IN (0, 1) GROUP BY 1, 2, 3, 4) c
       WHERE (t.level, t.bucket, t.model, t.emulated) = (c.level, c.bucket, c.model, c.emulated);
      DROP TABLE latency_v%1$s, model_latency_v%1$s;
      CREATE TABLE model_latency_v%1$s (
        level smallint NOT NULL, bucket timestamptz NOT NULL, model text NOT NULL, emulated boolean NOT NULL,
        bin smallint NOT NULL, n bigint NOT NULL
      ) WITH (fillfactor = 70);
      INSERT INTO model_latency_v%1$s SELECT level, bucket, model, emulated, bin, n FROM codes WHERE level > 1 ORDER BY 1, 2, 3, 4, 5;
      ALTER TABLE model_latency_v%1$s ADD PRIMARY KEY (level, bucket, model, emulated, bin);
      GRANT SELECT, INSERT, UPDATE, DELETE ON model_latency_v%1$s TO prompt_app;
      INSERT INTO usage_v%1$s AS t
        SELECT l, level_start_v1(l, bucket), user_id, model, emulated, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, sum(n)
          FROM unknown CROSS JOIN unnest('{0,2,3,4,5}'::smallint[]) l GROUP BY 1, 2, 3, 4, 5
        ON CONFLICT (level, bucket, user_id, model, emulated) DO UPDATE SET unknown_attempts = excluded.unknown_attempts;
      INSERT INTO user_usage_v%1$s AS t
        SELECT l, level_start_v1(l, bucket), user_id, emulated, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, sum(n)
          FROM unknown CROSS JOIN unnest('{2,3,4,5}'::smallint[]) l GROUP BY 1, 2, 3, 4
        ON CONFLICT (level, bucket, user_id, emulated) DO UPDATE SET unknown_attempts = excluded.unknown_attempts;
      INSERT INTO model_usage_v%1$s AS t
        SELECT l, level_start_v1(l, bucket), model, emulated, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, sum(n)
          FROM unknown CROSS JOIN unnest('{0,1,2,3,4,5}'::smallint[]) l GROUP BY 1, 2, 3, 4
        ON CONFLICT (level, bucket, model, emulated) DO UPDATE SET unknown_attempts = excluded.unknown_attempts;
      DROP TABLE codes, unknown;
    $sql$, one);
    -- In the order of time: what is read of a span lies together.
    EXECUTE format($sql$
      CLUSTER usage_v%1$s_0 USING usage_v%1$s_0_pkey;
      ALTER TABLE usage_v%1$s_0 SET WITHOUT CLUSTER;
      CLUSTER model_usage_v%1$s USING model_usage_v%1$s_pkey;
      ALTER TABLE model_usage_v%1$s SET WITHOUT CLUSTER;
      ALTER TABLE prompt_text_v%1$s RENAME TO former_prompt_text;
      ALTER TABLE former_prompt_text RENAME CONSTRAINT prompt_text_v%1$s_pkey TO former_prompt_text_pkey;
      SELECT create_prompt_texts_v1(%1$s);
      INSERT INTO prompt_text_v%1$s (prompt_id, user_id, prompt, answer, encoding, submitted_at)
        SELECT t.prompt_id, t.user_id, t.prompt, t.answer, t.encoding, p.submitted_at
          FROM former_prompt_text t JOIN prompt_v%1$s p ON p.prompt_id = t.prompt_id ORDER BY p.submitted_position;
      DROP TABLE former_prompt_text;
    $sql$, one);
    PERFORM index_prompt_texts_v1(one), spare_prompts_statistics_v1(one);
    IF EXISTS (SELECT FROM cursor WHERE name = 'prompts' AND version = one AND lane = 0 AND position > 0) THEN
      EXECUTE format('ANALYZE prompt_v%1$s, usage_v%1$s, user_usage_v%1$s, model_usage_v%1$s, model_latency_v%1$s', one);
    END IF;
  END LOOP;
END $do$;

DROP FUNCTION pack_state_v1(jsonb), pack_time_v1(jsonb, timestamptz), create_prompts_tables_v3(integer),
  create_narrow_prompts_tables_v1(integer), widen_prompts_v1(integer), create_prompts_deltas_v2(integer),
  merge_prompts_deltas_v2(integer), index_prompts_tables_v2(integer), merge_prompts_usage_v1(integer),
  merge_prompts_usage_v2(integer), merge_prompts_latency_v1(integer);

-- Older builds would misread the tables.
UPDATE schema_support SET oldest_build = 21;
