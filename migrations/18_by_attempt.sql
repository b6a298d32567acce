-- Money goes by attempt. A prompt is counted on one side of `emulated`; what an attempt cost, or may have cost, stands on the side
-- of who was called. So a row of sums may have no prompt, and accounts of the ledger know what of them is the emulator's.

-- merge_prompts_usage_v2: adds up the sums that the bulk phase of a version wrote down, each level from the one below, and
-- drops what was written down.
-- in:  p_version. Rows that add up to nothing are not made, as a running projector drops them; a user's bit stands for prompts.
CREATE FUNCTION merge_prompts_usage_v2(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET work_mem = '64MB' SET maintenance_work_mem = '64MB' AS $fn$
DECLARE
  sums text := 'sum(queued), sum(running), sum(retrying), sum(completed), sum(failed), sum(cancelled), sum(expired),
    sum(input_tokens), sum(cached_input_tokens), sum(output_tokens), sum(thought_tokens),
    sum(confirmed_nano_usd), sum(wasted_nano_usd), sum(unknown_bound_nano_usd)';
  filled text := format('HAVING (%s) <> (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)', sums);
  l integer;
  has_rows boolean;
BEGIN
  IF to_regclass(format('usage_delta_v%s', p_version)) IS NULL THEN RETURN; END IF;
  EXECUTE format($sql$
    INSERT INTO usage_v%1$s SELECT 0, bucket, user_id, model, emulated, %2$s FROM usage_delta_v%1$s
      GROUP BY bucket, user_id, model, emulated %3$s ORDER BY bucket, user_id, model, emulated;
    INSERT INTO model_usage_v%1$s SELECT 0, bucket, model, emulated, %2$s FROM usage_v%1$s WHERE level = 0
      GROUP BY bucket, model, emulated ORDER BY bucket, model, emulated;
  $sql$, p_version, sums, filled);
  FOR l IN 1..5 LOOP
    EXECUTE format($sql$
      INSERT INTO model_usage_v%1$s SELECT %3$s, level_start_v1(%3$s::smallint, bucket) AS span, model, emulated, %2$s
        FROM model_usage_v%1$s WHERE level = %3$s - 1 GROUP BY span, model, emulated ORDER BY span, model, emulated;
    $sql$, p_version, sums, l);
    CONTINUE WHEN l = 1;
    EXECUTE format($sql$
      INSERT INTO usage_v%1$s SELECT %3$s, level_start_v1(%3$s::smallint, bucket) AS span, user_id, model, emulated, %2$s
        FROM usage_v%1$s WHERE level = %4$s GROUP BY span, user_id, model, emulated ORDER BY span, user_id, model, emulated;
      INSERT INTO user_usage_v%1$s SELECT %3$s, bucket, user_id, emulated, %2$s FROM usage_v%1$s WHERE level = %3$s
        GROUP BY bucket, user_id, emulated ORDER BY bucket, user_id, emulated;
    $sql$, p_version, sums, l, CASE l WHEN 2 THEN 0 ELSE l - 1 END);
  END LOOP;
  EXECUTE format($sql$
    INSERT INTO user_number_v%1$s SELECT row_number() OVER (ORDER BY min(submitted_position)) - 1, user_id
      FROM prompt_v%1$s GROUP BY user_id;
    INSERT INTO model_user_v%1$s
      SELECT level, bucket, model, emulated, number / 512, bit_or(set_bit(0::bit(512), number %% 512, 1))
        FROM usage_v%1$s JOIN user_number_v%1$s USING (user_id)
       WHERE (queued, running, retrying, completed, failed, cancelled, expired) <> (0, 0, 0, 0, 0, 0, 0)
       GROUP BY level, bucket, model, emulated, number / 512 ORDER BY level, bucket, model, emulated, number / 512;
    DROP TABLE usage_delta_v%1$s;
    CREATE INDEX IF NOT EXISTS usage_v%1$s_user_idx ON usage_v%1$s (user_id, level, bucket);
  $sql$, p_version);
  EXECUTE format('SELECT EXISTS (SELECT FROM usage_v%s)', p_version) INTO has_rows;
  IF has_rows THEN
    EXECUTE format('ANALYZE usage_v%1$s, user_usage_v%1$s, model_usage_v%1$s, user_number_v%1$s, model_user_v%1$s, real_use_v%1$s',
      p_version);
  END IF;
END $fn$;

-- What of an account is of attempts that the emulator answered: nobody is charged. Posting waits until this is committed; who
-- reads accounts waits only while they are written, not while entries are added up.
SELECT position FROM ledger_head FOR UPDATE;
-- Put right before its worker told that it had called the emulator: who it was counts with the first cost that is told.
UPDATE ledger_entry l SET emulated = w.emulated
  FROM (SELECT c.prompt_id, c.attempt, coalesce(e.emulated, false) AS emulated
          FROM ledger_entry c
         CROSS JOIN LATERAL (
           SELECT k.position, k.type FROM event k
            WHERE k.stream_id = c.prompt_id AND (k.data ->> 'attempt')::integer = c.attempt AND k.data -> 'nanoUsd' <> 'null'
            ORDER BY k.position LIMIT 1) known
          LEFT JOIN LATERAL (
           SELECT (b.data ->> 'emulated')::boolean AS emulated FROM event b
            WHERE b.stream_id = c.prompt_id AND (b.data ->> 'attempt')::integer = c.attempt AND b.position < known.position
              AND b.data ? 'emulated' ORDER BY b.position DESC LIMIT 1) e ON true
         WHERE c.corrected AND c.emulated AND known.type = 'AttemptCostCorrected') w
 WHERE l.prompt_id = w.prompt_id AND l.attempt = w.attempt;
CREATE TEMP TABLE notional ON COMMIT DROP AS
  SELECT user_id, model,
         coalesce(sum(nano_usd) FILTER (WHERE state = 'confirmed'), 0) AS confirmed,
         coalesce(sum(nano_usd) FILTER (WHERE state = 'wasted'), 0) AS wasted,
         coalesce(sum(bound_nano_usd) FILTER (WHERE state = 'unknown'), 0) AS unknown_bound
    FROM ledger_entry WHERE emulated GROUP BY user_id, model;
ALTER TABLE ledger_account
  ADD COLUMN notional_confirmed_nano_usd     bigint NOT NULL DEFAULT 0,
  ADD COLUMN notional_wasted_nano_usd        bigint NOT NULL DEFAULT 0,
  ADD COLUMN notional_unknown_bound_nano_usd bigint NOT NULL DEFAULT 0;
UPDATE ledger_account a
   SET notional_confirmed_nano_usd = n.confirmed, notional_wasted_nano_usd = n.wasted,
       notional_unknown_bound_nano_usd = n.unknown_bound
  FROM notional n WHERE a.user_id = n.user_id AND a.model = n.model;

-- post_ledger_v2: posts the events after those posted, up to a position.
-- in:  p_to; out: up to where it is posted now. An error (data_corrupted) when the log has a hole there.
-- The first cost that is told of an attempt counts, with who it was, and a correction over all of them; how it ended is told
-- by the last.
CREATE FUNCTION post_ledger_v2(p_to bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
-- A plan is kept from the time when the tables are empty: each entry is looked up by its key.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $fn$
DECLARE
  start bigint;
  found bigint;
BEGIN
  SELECT position INTO start FROM ledger_head FOR UPDATE;
  IF p_to <= start THEN RETURN start; END IF;
  SELECT count(*) INTO found FROM event WHERE position > start AND position <= p_to;
  IF found <> p_to - start THEN
    RAISE EXCEPTION 'the log has % of % events between % and %', found, p_to - start, start, p_to USING ERRCODE = 'data_corrupted';
  END IF;
  WITH news AS MATERIALIZED (
    SELECT stream_id AS prompt_id, (data ->> 'attempt')::integer AS attempt, position, recorded_at,
           data ->> 'userId' AS user_id, data ->> 'model' AS model, type,
           CASE type WHEN 'AttemptStarted' THEN 'start' WHEN 'AttemptCostCorrected' THEN 'correction' ELSE 'end' END AS kind,
           (data ->> 'nanoUsd')::bigint AS nano_usd, (data ->> 'boundNanoUsd')::bigint AS bound_nano_usd,
           data ->> 'priceVersion' AS price_version, coalesce((data ->> 'emulated')::boolean, false) AS emulated,
           bool_or(data -> 'nanoUsd' <> 'null') OVER (PARTITION BY stream_id, data ->> 'attempt' ORDER BY position
                                                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) IS TRUE AS known_before
      FROM event
     WHERE position > start AND position <= p_to
       AND type IN ('AttemptStarted', 'AttemptFailed', 'AttemptDiscarded', 'PromptCompleted', 'AttemptCostCorrected')
       AND jsonb_typeof(data -> 'attempt') = 'number'
  ), told AS (
    SELECT prompt_id, attempt, min(user_id) AS user_id, min(model) AS model,
           min(position) FILTER (WHERE kind = 'start') AS reserved_position,
           min(recorded_at) FILTER (WHERE kind = 'start') AS reserved_at,
           max(position) FILTER (WHERE kind <> 'start') AS settled_position,
           max(recorded_at) FILTER (WHERE kind <> 'start') AS settled_at,
           (array_agg(bound_nano_usd ORDER BY position DESC) FILTER (WHERE kind <> 'correction'))[1] AS bound_nano_usd,
           bool_or(kind = 'end') AS ended,
           (array_agg(type = 'PromptCompleted' ORDER BY position DESC) FILTER (WHERE kind = 'end'))[1] AS answered,
           (array_agg(nano_usd ORDER BY position) FILTER (WHERE kind = 'end' AND nano_usd IS NOT NULL))[1] AS first_nano_usd,
           (array_agg(nano_usd ORDER BY position DESC) FILTER (WHERE kind = 'correction'))[1] AS corrected_nano_usd,
           (array_agg(price_version ORDER BY position DESC) FILTER (WHERE kind <> 'correction'))[1] AS price_version,
           (array_agg(emulated ORDER BY position DESC) FILTER (WHERE kind = 'end' AND NOT known_before))[1] AS emulated
      FROM news GROUP BY prompt_id, attempt
  ), before AS MATERIALIZED (
    SELECT e.* FROM told t JOIN ledger_entry e USING (prompt_id, attempt)
  ), posted AS MATERIALIZED (
    SELECT t.prompt_id, t.attempt, t.user_id, t.model,
           coalesce(t.answered, b.answered, false) AS answered,
           CASE WHEN b.nano_usd IS NULL THEN coalesce(t.emulated, b.emulated, false) ELSE b.emulated END AS emulated,
           coalesce(t.corrected_nano_usd, b.nano_usd, t.first_nano_usd) AS nano_usd,
           CASE WHEN t.ended OR b.prompt_id IS NULL THEN t.bound_nano_usd ELSE b.bound_nano_usd END AS bound_nano_usd,
           CASE WHEN b.nano_usd IS NOT NULL OR (b.prompt_id IS NOT NULL AND NOT t.ended) THEN b.price_version
                ELSE t.price_version END AS price_version,
           t.corrected_nano_usd IS NOT NULL OR coalesce(b.corrected, false) AS corrected,
           coalesce(b.reserved_position, t.reserved_position) AS reserved_position,
           coalesce(b.reserved_at, t.reserved_at) AS reserved_at,
           coalesce(t.settled_position, b.settled_position) AS settled_position,
           coalesce(t.settled_at, b.settled_at) AS settled_at
      FROM told t LEFT JOIN before b USING (prompt_id, attempt)
     -- An end without a start is no entry; the sums of its user then differ, which is told.
     WHERE coalesce(b.reserved_position, t.reserved_position) IS NOT NULL
  ), written AS (
    INSERT INTO ledger_entry AS e (prompt_id, attempt, user_id, model, answered, emulated, nano_usd, bound_nano_usd,
                                   price_version, corrected, reserved_position, reserved_at, settled_position, settled_at)
    SELECT prompt_id, attempt, user_id, model, answered, emulated, nano_usd,
           CASE WHEN nano_usd IS NULL THEN bound_nano_usd END, price_version, corrected, reserved_position, reserved_at,
           settled_position, settled_at FROM posted ORDER BY reserved_position
    ON CONFLICT (prompt_id, attempt) DO UPDATE
       SET answered = EXCLUDED.answered, emulated = EXCLUDED.emulated, nano_usd = EXCLUDED.nano_usd,
           bound_nano_usd = EXCLUDED.bound_nano_usd, price_version = EXCLUDED.price_version, corrected = EXCLUDED.corrected,
           settled_position = EXCLUDED.settled_position, settled_at = EXCLUDED.settled_at
  ), moved AS (
    SELECT user_id, model, 0 AS prompts, 1 AS sign, ledger_state_v1(settled_position, answered, nano_usd) AS state, nano_usd,
           bound_nano_usd, emulated FROM posted
    UNION ALL SELECT user_id, model, 0, -1, state, nano_usd, bound_nano_usd, emulated FROM before
    UNION ALL SELECT data ->> 'userId', data ->> 'model', 1, 0, NULL, NULL, NULL, NULL
      FROM event WHERE position > start AND position <= p_to AND type = 'PromptSubmitted'
  )
  INSERT INTO ledger_account AS a (user_id, model, prompts, reserved_nano_usd, confirmed_nano_usd, wasted_nano_usd,
                                   unknown_bound_nano_usd, notional_confirmed_nano_usd, notional_wasted_nano_usd,
                                   notional_unknown_bound_nano_usd)
  SELECT user_id, model, sum(prompts),
         coalesce(sum(sign * bound_nano_usd) FILTER (WHERE state = 'reserved'), 0),
         coalesce(sum(sign * nano_usd) FILTER (WHERE state = 'confirmed'), 0),
         coalesce(sum(sign * nano_usd) FILTER (WHERE state = 'wasted'), 0),
         coalesce(sum(sign * bound_nano_usd) FILTER (WHERE state = 'unknown'), 0),
         coalesce(sum(sign * nano_usd) FILTER (WHERE state = 'confirmed' AND emulated), 0),
         coalesce(sum(sign * nano_usd) FILTER (WHERE state = 'wasted' AND emulated), 0),
         coalesce(sum(sign * bound_nano_usd) FILTER (WHERE state = 'unknown' AND emulated), 0)
    FROM moved GROUP BY user_id, model ORDER BY user_id, model
  ON CONFLICT (user_id, model) DO UPDATE
     SET prompts = a.prompts + EXCLUDED.prompts, reserved_nano_usd = a.reserved_nano_usd + EXCLUDED.reserved_nano_usd,
         confirmed_nano_usd = a.confirmed_nano_usd + EXCLUDED.confirmed_nano_usd,
         wasted_nano_usd = a.wasted_nano_usd + EXCLUDED.wasted_nano_usd,
         unknown_bound_nano_usd = a.unknown_bound_nano_usd + EXCLUDED.unknown_bound_nano_usd,
         notional_confirmed_nano_usd = a.notional_confirmed_nano_usd + EXCLUDED.notional_confirmed_nano_usd,
         notional_wasted_nano_usd = a.notional_wasted_nano_usd + EXCLUDED.notional_wasted_nano_usd,
         notional_unknown_bound_nano_usd = a.notional_unknown_bound_nano_usd + EXCLUDED.notional_unknown_bound_nano_usd;
  UPDATE ledger_head SET position = p_to;
  RETURN p_to;
END $fn$;

-- A projector of the former release posts it whole too.
CREATE OR REPLACE FUNCTION post_ledger_v1(p_to bigint) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
  SELECT post_ledger_v2(p_to)
$fn$;

REVOKE ALL ON FUNCTION merge_prompts_usage_v2(integer), post_ledger_v2(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION merge_prompts_usage_v2(integer), post_ledger_v2(bigint) TO prompt_app;

-- Dashboards show rows without a prompt too, and those users first who spent most, whether the answer was used or not.
-- dashboard.users_v1: spending of each user, those who spent most first.
CREATE OR REPLACE FUNCTION dashboard.users_v1(p_from timestamptz, p_to timestamptz, p_emulated text, p_limit integer)
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
      FROM parts GROUP BY user_id
     ORDER BY total_v1(confirmed_nano_usd) + total_v1(wasted_nano_usd) DESC, total_v1(prompts) DESC, user_id COLLATE "C" LIMIT $4
  $sql$, (SELECT version FROM live_projection WHERE name = 'prompts'))
  USING p_from, p_to, dashboard.shown_v1(p_emulated), p_limit;
END $fn$;

-- dashboard.models_v1: each model's prompts, its share of all, and how many users it had; the most popular first.
CREATE OR REPLACE FUNCTION dashboard.models_v1(p_from timestamptz, p_to timestamptz, p_emulated text)
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
    SELECT s.model, s.prompts, coalesce(s.prompts / nullif(sum(s.prompts) OVER (), 0), 0), coalesce(u.users, 0), s.completed, s.failed, s.input_tokens,
           s.cached, s.output_tokens, s.thought_tokens, s.confirmed * 0.000000001, s.wasted * 0.000000001, s.unknown_bound * 0.000000001
      FROM sums s LEFT JOIN people u USING (model)
     ORDER BY s.prompts DESC, s.model COLLATE "C"
  $sql$, (SELECT version FROM live_projection WHERE name = 'prompts'))
  USING p_from, p_to, dashboard.shown_v1(p_emulated);
END $fn$;
