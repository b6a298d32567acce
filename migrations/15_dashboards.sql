-- What dashboards may read: sums of the served read models, never a prompt's words. A login for them is made by an
-- administrator and is a member of prompt_dashboards, which may call these functions and nothing else.
--
-- p_from, p_to: submitted in [p_from, p_to), in whole quarters of an hour that the range touches.
-- p_emulated: include | only | default (left out from the first answer or charge of a real key on), as in the API.
-- Where it is there, the right to make roles is not needed: Postgres would ask for that before it looks.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'prompt_dashboards') THEN
    CREATE ROLE prompt_dashboards NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- roles belong to the cluster: another database's migration made it just now
END $$;

CREATE SCHEMA dashboard;

-- dashboard.spans_v1: the range as runs of spans, as few as there can be, of the levels of migration 9.
-- in:  p_levels, the coarsest first, the last one must be 0
CREATE FUNCTION dashboard.spans_v1(p_from timestamptz, p_to timestamptz, p_levels smallint[])
RETURNS TABLE (level smallint, since timestamptz, til timestamptz)
LANGUAGE plpgsql IMMUTABLE SET search_path = public, pg_temp AS $fn$
DECLARE
  hours constant float8[] := ARRAY[0.25, 1, 24, 96, 384];
  span interval;
  begins timestamptz := level_start_v1(0::smallint, p_from);
  ends   timestamptz := level_start_v1(0::smallint, p_to + interval '15 minutes' - interval '1 microsecond');
  low   timestamptz;
  high  timestamptz;
  whole timestamptz;
BEGIN
  FOREACH level IN ARRAY p_levels LOOP
    span := make_interval(secs => 3600 * hours[level + 1]);
    since := level_start_v1(level, begins + span - interval '1 microsecond');
    til := level_start_v1(level, ends);
    CONTINUE WHEN since >= til;
    IF low IS NULL THEN
      low := since;
      high := til;
      RETURN NEXT;
      CONTINUE;
    END IF;
    whole := til;
    til := low;
    IF since < low THEN
      RETURN NEXT;
      low := since;
    END IF;
    since := high;
    til := whole;
    IF since < til THEN
      RETURN NEXT;
      high := til;
    END IF;
  END LOOP;
END $fn$;

-- dashboard.shown_v1: which prompts count, emulated or not.
CREATE FUNCTION dashboard.shown_v1(p_emulated text) RETURNS boolean[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
DECLARE
  real_use boolean;
BEGIN
  IF p_emulated NOT IN ('include', 'only', 'default') THEN
    RAISE EXCEPTION '% is not include, only or default', p_emulated USING ERRCODE = 'invalid_parameter_value';
  END IF;
  EXECUTE format('SELECT EXISTS (SELECT FROM real_use_v%s)', (SELECT version FROM live_projection WHERE name = 'prompts'))
    INTO real_use;
  RETURN CASE p_emulated WHEN 'include' THEN '{f,t}' WHEN 'only' THEN '{t}'
    WHEN 'default' THEN CASE WHEN real_use THEN '{f}' ELSE '{f,t}' END END::boolean[];
END $fn$;

-- dashboard.users_v1: spending of each user, those who spent most first.
CREATE FUNCTION dashboard.users_v1(p_from timestamptz, p_to timestamptz, p_emulated text, p_limit integer)
RETURNS TABLE (user_id text, prompts bigint, completed bigint, failed bigint, input_tokens bigint, output_tokens bigint,
               thought_tokens bigint, confirmed_usd numeric, wasted_usd numeric, unknown_bound_usd numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  -- Quarters of an hour are kept of each user and model, days and more of each user too.
  RETURN QUERY EXECUTE format($sql$
    WITH parts AS (
      SELECT u.* FROM dashboard.spans_v1($1, $2, '{4,3,2,0}') s CROSS JOIN LATERAL (
        SELECT t.user_id, queued + running + retrying + completed + failed + cancelled + expired AS prompts, completed, failed,
               input_tokens, output_tokens, thought_tokens, confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd
          FROM user_usage_v%1$s t
         WHERE s.level > 0 AND t.level = s.level AND t.bucket >= s.since AND t.bucket < s.til AND t.emulated = ANY ($3) OFFSET 0) u
      UNION ALL
      SELECT u.* FROM dashboard.spans_v1($1, $2, '{4,3,2,0}') s CROSS JOIN LATERAL (
        SELECT t.user_id, queued + running + retrying + completed + failed + cancelled + expired, completed, failed,
               input_tokens, output_tokens, thought_tokens, confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd
          FROM usage_v%1$s t
         WHERE s.level = 0 AND t.level = s.level AND t.bucket >= s.since AND t.bucket < s.til AND t.emulated = ANY ($3) OFFSET 0) u
    )
    SELECT user_id, total_v1(prompts), total_v1(completed), total_v1(failed), total_v1(input_tokens), total_v1(output_tokens),
           total_v1(thought_tokens), total_v1(confirmed_nano_usd) * 0.000000001, total_v1(wasted_nano_usd) * 0.000000001,
           total_v1(unknown_bound_nano_usd) * 0.000000001
      FROM parts GROUP BY user_id HAVING total_v1(prompts) > 0
     ORDER BY total_v1(confirmed_nano_usd) DESC, total_v1(prompts) DESC, user_id COLLATE "C" LIMIT $4
  $sql$, (SELECT version FROM live_projection WHERE name = 'prompts'))
  USING p_from, p_to, dashboard.shown_v1(p_emulated), p_limit;
END $fn$;

-- dashboard.models_v1: each model's prompts, its share of all, and how many users it had; the most popular first.
CREATE FUNCTION dashboard.models_v1(p_from timestamptz, p_to timestamptz, p_emulated text)
RETURNS TABLE (model text, prompts bigint, share numeric, users bigint, completed bigint, failed bigint, input_tokens bigint,
               cached_input_tokens bigint, output_tokens bigint, thought_tokens bigint, confirmed_usd numeric,
               wasted_usd numeric, unknown_bound_usd numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  RETURN QUERY EXECUTE format($sql$
    WITH spans AS MATERIALIZED (
      SELECT * FROM dashboard.spans_v1($1, $2, '{4,3,2,1,0}')
    ), sums AS (
      SELECT m.model, total_v1(queued + running + retrying + completed + failed + cancelled + expired) AS prompts,
             total_v1(completed) AS completed, total_v1(failed) AS failed, total_v1(input_tokens) AS input_tokens,
             total_v1(cached_input_tokens) AS cached, total_v1(output_tokens) AS output_tokens,
             total_v1(thought_tokens) AS thought_tokens, total_v1(confirmed_nano_usd) AS confirmed,
             total_v1(wasted_nano_usd) AS wasted, total_v1(unknown_bound_nano_usd) AS unknown_bound
        FROM spans s CROSS JOIN LATERAL (
          SELECT t.* FROM model_usage_v%1$s t
           WHERE t.level = s.level AND t.bucket >= s.since AND t.bucket < s.til AND t.emulated = ANY ($3) OFFSET 0) m
       GROUP BY m.model
    ), people AS (
      SELECT p.model, sum(bit_count(p.users))::bigint AS users FROM (
        SELECT m.model, m.piece, bit_or(m.users) AS users FROM dashboard.spans_v1($1, $2, '{4,3,2,0}') s CROSS JOIN LATERAL (
          SELECT t.model, t.piece, t.users FROM model_user_v%1$s t
           WHERE t.level = s.level AND t.bucket >= s.since AND t.bucket < s.til AND t.emulated = ANY ($3) OFFSET 0) m
         GROUP BY m.model, m.piece) p
       GROUP BY p.model
    )
    SELECT s.model, s.prompts, s.prompts / sum(s.prompts) OVER (), coalesce(u.users, 0), s.completed, s.failed, s.input_tokens,
           s.cached, s.output_tokens, s.thought_tokens, s.confirmed * 0.000000001, s.wasted * 0.000000001, s.unknown_bound * 0.000000001
      FROM sums s LEFT JOIN people u USING (model) WHERE s.prompts > 0
     ORDER BY s.prompts DESC, s.model COLLATE "C"
  $sql$, (SELECT version FROM live_projection WHERE name = 'prompts'))
  USING p_from, p_to, dashboard.shown_v1(p_emulated);
END $fn$;

-- dashboard.totals_v1: one row, of all models and users; users are counted once.
CREATE FUNCTION dashboard.totals_v1(p_from timestamptz, p_to timestamptz, p_emulated text)
RETURNS TABLE (prompts bigint, users bigint, completed bigint, failed bigint, confirmed_usd numeric, wasted_usd numeric,
               unknown_bound_usd numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
DECLARE
  distinct_users bigint;
BEGIN
  EXECUTE format($sql$
    SELECT coalesce(sum(bit_count(p.users)), 0)::bigint FROM (
      SELECT m.piece, bit_or(m.users) AS users FROM dashboard.spans_v1($1, $2, '{4,3,2,0}') s CROSS JOIN LATERAL (
        SELECT t.piece, t.users FROM model_user_v%1$s t
         WHERE t.level = s.level AND t.bucket >= s.since AND t.bucket < s.til AND t.emulated = ANY ($3) OFFSET 0) m
       GROUP BY m.piece) p
  $sql$, (SELECT version FROM live_projection WHERE name = 'prompts'))
  INTO distinct_users USING p_from, p_to, dashboard.shown_v1(p_emulated);
  RETURN QUERY SELECT total_v1(m.prompts), distinct_users, total_v1(m.completed), total_v1(m.failed),
    coalesce(sum(m.confirmed_usd), 0), coalesce(sum(m.wasted_usd), 0), coalesce(sum(m.unknown_bound_usd), 0)
    FROM dashboard.models_v1(p_from, p_to, p_emulated) m;
END $fn$;

-- dashboard.usage_v1: each model's use over time, by hour of submission (UTC), by day when the range is over eight days.
CREATE FUNCTION dashboard.usage_v1(p_from timestamptz, p_to timestamptz, p_emulated text)
RETURNS TABLE ("time" timestamptz, model text, prompts bigint, completed bigint, failed bigint, input_tokens bigint,
               output_tokens bigint, thought_tokens bigint, confirmed_usd numeric, wasted_usd numeric, unknown_bound_usd numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  RETURN QUERY EXECUTE format($sql$
    SELECT t.bucket, t.model, total_v1(queued + running + retrying + completed + failed + cancelled + expired),
           total_v1(completed), total_v1(failed), total_v1(input_tokens), total_v1(output_tokens), total_v1(thought_tokens),
           total_v1(confirmed_nano_usd) * 0.000000001, total_v1(wasted_nano_usd) * 0.000000001, total_v1(unknown_bound_nano_usd) * 0.000000001
      FROM model_usage_v%1$s t
     WHERE t.level = $1 AND t.bucket >= level_start_v1($1, $2) AND t.bucket < $3 AND t.emulated = ANY ($4)
     GROUP BY t.bucket, t.model ORDER BY t.bucket, t.model COLLATE "C"
  $sql$, (SELECT version FROM live_projection WHERE name = 'prompts'))
  USING CASE WHEN p_to - p_from > interval '192 hours' THEN 2 ELSE 1 END::smallint, p_from, p_to,
    dashboard.shown_v1(p_emulated);
END $fn$;

-- dashboard.latency_v1: percentiles in seconds of answered prompts, as GET /stats/latency has them: within 2.5 per cent.
-- out: measure: queue_wait (until the first attempt), model_time (of the answering call), total
CREATE FUNCTION dashboard.latency_v1(p_from timestamptz, p_to timestamptz, p_emulated text)
RETURNS TABLE (measure text, samples bigint, p50 numeric, p95 numeric, p99 numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  RETURN QUERY EXECUTE format($sql$
    WITH bins AS (
      SELECT m.measure, m.bin, total_v1(m.n) AS n FROM dashboard.spans_v1($1, $2, '{4,3,2,1,0}') s CROSS JOIN LATERAL (
        SELECT t.measure, t.bin, t.n FROM model_latency_v%1$s t
         WHERE t.level = s.level AND t.bucket >= s.since AND t.bucket < s.til AND t.emulated = ANY ($3) OFFSET 0) m
       GROUP BY m.measure, m.bin
    ), passed AS (
      SELECT b.measure, round((1.05 ^ (b.bin + 0.5))::numeric, 2) / 1000 AS seconds,
             sum(b.n) OVER (PARTITION BY b.measure ORDER BY b.bin) AS upto, sum(b.n) OVER (PARTITION BY b.measure) AS total
        FROM bins b WHERE b.n > 0
    )
    SELECT p.measure, min(p.total)::bigint, min(p.seconds) FILTER (WHERE p.upto >= ceil(0.50 * p.total)),
           min(p.seconds) FILTER (WHERE p.upto >= ceil(0.95 * p.total)), min(p.seconds) FILTER (WHERE p.upto >= ceil(0.99 * p.total))
      FROM passed p GROUP BY p.measure ORDER BY p.measure
  $sql$, (SELECT version FROM live_projection WHERE name = 'prompts'))
  USING p_from, p_to, dashboard.shown_v1(p_emulated);
END $fn$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA dashboard FROM PUBLIC;
GRANT USAGE ON SCHEMA dashboard TO prompt_dashboards;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dashboard TO prompt_dashboards;
