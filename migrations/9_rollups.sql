-- Sums by levels of time, and what a look back in time needs.
--
-- Levels: 0 quarter of an hour, 1 hour, 2 day (UTC), 3 four days, 4 sixteen days, 5 all time. Any range is at most two runs
-- of spans of each level, so that a sum over it reads few rows, however many prompts lie in it. Hours are kept over all
-- users only: they are there for days of other time zones.

-- level_start_v1: start of the span of a level in which a moment lies
CREATE FUNCTION level_start_v1(p_level smallint, p_time timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE p_level
    WHEN 0 THEN date_bin('15 minutes', p_time, '1970-01-01 00:00:00+00')
    WHEN 1 THEN date_bin('1 hour', p_time, '1970-01-01 00:00:00+00')
    WHEN 2 THEN date_bin('1 day', p_time, '1970-01-01 00:00:00+00')
    WHEN 3 THEN date_bin('4 days', p_time, '1970-01-01 00:00:00+00')
    WHEN 4 THEN date_bin('16 days', p_time, '1970-01-01 00:00:00+00')
    ELSE '1970-01-01 00:00:00+00'::timestamptz END
$$;

-- position_at_v1: the last position recorded at or before a time; null before the first event.
-- recorded_at never goes backwards along position: some 25 look-ups by key in tens of millions of events, and no index.
CREATE FUNCTION position_at_v1(p_time timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE AS $fn$
DECLARE
  start  bigint;
  low    bigint;
  high   bigint;
  middle bigint;
  at     timestamptz;
BEGIN
  SELECT floor, position INTO start, high FROM log_head;
  low := start;
  WHILE low < high LOOP
    middle := (low + high + 1) / 2;
    SELECT recorded_at INTO at FROM event WHERE position = middle;
    IF at <= p_time THEN low := middle; ELSE high := middle - 1; END IF;
  END LOOP;
  RETURN nullif(low, start);
END $fn$;

-- create_prompts_tables_v3: the tables of one version of the `prompts` projection, with the keys that writing needs.
-- in:  p_version
-- All of them hold what a fold of the log gives, and nothing else: no clocks, no sequences.
CREATE FUNCTION create_prompts_tables_v3(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
DECLARE
  sums text := $sums$
    queued              bigint NOT NULL, running   bigint NOT NULL, retrying bigint NOT NULL,
    completed           bigint NOT NULL, failed    bigint NOT NULL, cancelled bigint NOT NULL,
    expired             bigint NOT NULL,
    input_tokens        bigint NOT NULL, cached_input_tokens bigint NOT NULL,
    output_tokens       bigint NOT NULL, thought_tokens      bigint NOT NULL,
    -- nano-USD: a row holds nine billion dollars
    confirmed_nano_usd  bigint NOT NULL, wasted_nano_usd bigint NOT NULL, unknown_bound_nano_usd bigint NOT NULL
  $sums$;
  name text;
  level integer;
BEGIN
  IF p_version < 1 THEN RAISE EXCEPTION '% is no version of a projection', p_version; END IF;
  EXECUTE format($sql$
    CREATE TABLE prompt_v%1$s (
      prompt_id          uuid        NOT NULL PRIMARY KEY,
      user_id            text        NOT NULL,
      status             text        NOT NULL,
      model              text        NOT NULL,
      conversation_id    uuid,
      emulated           boolean     NOT NULL,
      submitted_at       timestamptz NOT NULL,
      submitted_position bigint      NOT NULL,
      position           bigint      NOT NULL,
      state              jsonb       NOT NULL   -- PromptState of contracts/prompt/state.ts
    ) WITH (fillfactor = 80);

    -- Text apart from state: the word index is not touched while a prompt only changes its state.
    CREATE TABLE prompt_text_v%1$s (
      prompt_id uuid NOT NULL PRIMARY KEY,
      user_id   text NOT NULL,
      prompt    text NOT NULL,
      answer    text,
      encoding  text NOT NULL DEFAULT 'plain',   -- of the answer, see contracts/answer-text.ts
      -- the first 50,000 characters of each: a tsvector holds at most 1 MB
      words     tsvector GENERATED ALWAYS AS
        (to_tsvector('simple', left(prompt, 50000)) || to_tsvector('simple', left(coalesce(answer, ''), 50000))) STORED
    );

    -- By time of submission, of each user and model: levels 0, 2, 3, 4, 5.
    CREATE TABLE usage_v%1$s (
      level smallint NOT NULL, bucket timestamptz NOT NULL, user_id text NOT NULL, model text NOT NULL,
      emulated boolean NOT NULL, %2$s,
      PRIMARY KEY (level, bucket, user_id, model, emulated)
    ) PARTITION BY LIST (level);

    -- Of each user, over all models: levels 2, 3, 4, 5. Who spent most is read from here.
    CREATE TABLE user_usage_v%1$s (
      level smallint NOT NULL, bucket timestamptz NOT NULL, user_id text NOT NULL, emulated boolean NOT NULL, %2$s,
      PRIMARY KEY (level, bucket, user_id, emulated)
    ) PARTITION BY LIST (level);

    -- Of each model, over all users: every level.
    CREATE TABLE model_usage_v%1$s (
      level smallint NOT NULL, bucket timestamptz NOT NULL, model text NOT NULL, emulated boolean NOT NULL, %2$s,
      PRIMARY KEY (level, bucket, model, emulated)
    ) WITH (fillfactor = 70);

    -- Users by number, in the order of their first prompts.
    CREATE TABLE user_number_v%1$s (number integer NOT NULL PRIMARY KEY, user_id text NOT NULL UNIQUE);

    -- Who used a model: bit n of piece p is the user of number 512 p + n. Different users add up by OR; a bit is set as long
    -- as usage_v has the row. Levels as there.
    CREATE TABLE model_user_v%1$s (
      level smallint NOT NULL, bucket timestamptz NOT NULL, model text NOT NULL, emulated boolean NOT NULL,
      piece integer NOT NULL, users bit(512) NOT NULL,
      PRIMARY KEY (level, bucket, model, emulated, piece)
    ) WITH (fillfactor = 70);

    -- Histograms that add up: bin n covers [1.05^n, 1.05^(n+1)) milliseconds, so percentiles are within 5 %%. Of each user,
    -- level 0 only: most rows count one prompt, and coarser ones would be as many.
    CREATE TABLE latency_v%1$s (
      bucket  timestamptz NOT NULL, user_id text NOT NULL, model text NOT NULL, emulated boolean NOT NULL,
      measure text NOT NULL CHECK (measure IN ('queue_wait', 'model_time', 'total')),
      bin smallint NOT NULL, n bigint NOT NULL,
      PRIMARY KEY (user_id, bucket, model, emulated, measure, bin)
    ) WITH (fillfactor = 70);

    -- The same over all users: every level.
    CREATE TABLE model_latency_v%1$s (
      level smallint NOT NULL, bucket timestamptz NOT NULL, model text NOT NULL, emulated boolean NOT NULL,
      measure text NOT NULL, bin smallint NOT NULL, n bigint NOT NULL,
      PRIMARY KEY (level, bucket, model, emulated, measure, bin)
    ) WITH (fillfactor = 70);

    -- One row from the first answer or charge of a real key on: where in the log that was.
    CREATE TABLE real_use_v%1$s (
      singleton boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (singleton), position bigint NOT NULL
    );
  $sql$, p_version, sums);
  -- A level in pages of its own: what is read together lies together.
  FOR name, level IN SELECT 'usage', unnest(ARRAY[0, 2, 3, 4, 5]) UNION ALL SELECT 'user_usage', unnest(ARRAY[2, 3, 4, 5]) LOOP
    EXECUTE format('CREATE TABLE %1$s_v%2$s_%3$s PARTITION OF %1$s_v%2$s FOR VALUES IN (%3$s) WITH (fillfactor = 70)',
      name, p_version, level);
    EXECUTE format('GRANT SELECT ON %s_v%s_%s TO prompt_app', name, p_version, level);
  END LOOP;
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON prompt_v%1$s, prompt_text_v%1$s, usage_v%1$s, user_usage_v%1$s,
    model_usage_v%1$s, user_number_v%1$s, model_user_v%1$s, latency_v%1$s, model_latency_v%1$s, real_use_v%1$s
    TO prompt_app', p_version);
END $fn$;

-- index_prompts_tables_v2: what makes the tables of a version fast to read.
-- in:  p_version. Does nothing when it was done.
CREATE FUNCTION index_prompts_tables_v2(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET maintenance_work_mem = '128MB' AS $fn$
DECLARE
  filled boolean;
BEGIN
  EXECUTE format($sql$
    -- newest first for one user, and for an admin
    CREATE INDEX IF NOT EXISTS prompt_v%1$s_user_idx ON prompt_v%1$s (user_id, submitted_at DESC, prompt_id DESC);
    CREATE INDEX IF NOT EXISTS prompt_v%1$s_time_idx ON prompt_v%1$s (submitted_at DESC, prompt_id DESC);
    CREATE INDEX IF NOT EXISTS prompt_v%1$s_conversation_idx ON prompt_v%1$s (conversation_id, submitted_at DESC)
      WHERE conversation_id IS NOT NULL;
    -- Prompts under way at a position: submitted before it, changed after it. Rows lie in the order of submission, so few
    -- runs of pages can hold one. An index that summarizes leaves updates of position HOT.
    CREATE INDEX IF NOT EXISTS prompt_v%1$s_span_idx ON prompt_v%1$s USING brin (submitted_position, position)
      WITH (pages_per_range = 32, autosummarize = on);
    CREATE INDEX IF NOT EXISTS prompt_text_v%1$s_words_idx ON prompt_text_v%1$s USING gin (words);
    CREATE INDEX IF NOT EXISTS usage_v%1$s_user_idx ON usage_v%1$s (user_id, level, bucket);
  $sql$, p_version);
  -- Statistics of an empty table are worse than none: plans would be made for one that stays empty.
  EXECUTE format('SELECT EXISTS (SELECT FROM prompt_v%s)', p_version) INTO filled;
  IF filled THEN
    EXECUTE format('ANALYZE prompt_v%1$s, prompt_text_v%1$s, usage_v%1$s, user_usage_v%1$s, model_usage_v%1$s,
      user_number_v%1$s, model_user_v%1$s, latency_v%1$s, model_latency_v%1$s, real_use_v%1$s', p_version);
  END IF;
END $fn$;

-- create_prompts_deltas_v2: what the bulk phase of a version writes its sums to. Lanes that added them up in place would
-- wait for each other's rows; so they are only written down, and merge_prompts_deltas_v2 adds them up once.
-- in:  p_version
CREATE FUNCTION create_prompts_deltas_v2(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  EXECUTE format($sql$
    CREATE TABLE usage_delta_v%1$s (LIKE usage_v%1$s);
    ALTER TABLE usage_delta_v%1$s DROP COLUMN level;
    CREATE TABLE latency_delta_v%1$s (LIKE latency_v%1$s);
    GRANT SELECT, INSERT ON usage_delta_v%1$s, latency_delta_v%1$s TO prompt_app;
  $sql$, p_version);
END $fn$;

-- merge_prompts_deltas_v2: adds up what the bulk phase of a version wrote down, each level from the one below, and drops it.
-- in:  p_version. Does nothing when it was done. Rows that add up to nothing are not made, as a running projector drops them.
CREATE FUNCTION merge_prompts_deltas_v2(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET work_mem = '64MB' AS $fn$
DECLARE
  sums text := 'sum(queued), sum(running), sum(retrying), sum(completed), sum(failed), sum(cancelled), sum(expired),
    sum(input_tokens), sum(cached_input_tokens), sum(output_tokens), sum(thought_tokens),
    sum(confirmed_nano_usd), sum(wasted_nano_usd), sum(unknown_bound_nano_usd)';
  filled text := 'HAVING (sum(queued), sum(running), sum(retrying), sum(completed), sum(failed), sum(cancelled), sum(expired))
    <> (0, 0, 0, 0, 0, 0, 0)';
  l integer;
BEGIN
  IF to_regclass(format('usage_delta_v%s', p_version)) IS NULL THEN RETURN; END IF;
  EXECUTE format($sql$
    INSERT INTO usage_v%1$s SELECT 0, bucket, user_id, model, emulated, %2$s FROM usage_delta_v%1$s
      GROUP BY bucket, user_id, model, emulated %3$s ORDER BY bucket, user_id, model, emulated;
    INSERT INTO model_usage_v%1$s SELECT 0, bucket, model, emulated, %2$s FROM usage_v%1$s WHERE level = 0
      GROUP BY bucket, model, emulated ORDER BY bucket, model, emulated;
    INSERT INTO latency_v%1$s SELECT bucket, user_id, model, emulated, measure, bin, sum(n) FROM latency_delta_v%1$s
      GROUP BY bucket, user_id, model, emulated, measure, bin HAVING sum(n) <> 0
      ORDER BY user_id, bucket, model, emulated, measure, bin;
    INSERT INTO model_latency_v%1$s SELECT 0, bucket, model, emulated, measure, bin, sum(n) FROM latency_v%1$s
      GROUP BY bucket, model, emulated, measure, bin ORDER BY bucket, model, emulated, measure, bin;
  $sql$, p_version, sums, filled);
  FOR l IN 1..5 LOOP
    EXECUTE format($sql$
      INSERT INTO model_usage_v%1$s SELECT %3$s, level_start_v1(%3$s::smallint, bucket) AS span, model, emulated, %2$s
        FROM model_usage_v%1$s WHERE level = %3$s - 1 GROUP BY span, model, emulated ORDER BY span, model, emulated;
      INSERT INTO model_latency_v%1$s
        SELECT %3$s, level_start_v1(%3$s::smallint, bucket) AS span, model, emulated, measure, bin, sum(n)
          FROM model_latency_v%1$s WHERE level = %3$s - 1
         GROUP BY span, model, emulated, measure, bin ORDER BY span, model, emulated, measure, bin;
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
       GROUP BY level, bucket, model, emulated, number / 512 ORDER BY level, bucket, model, emulated, number / 512;
    DROP TABLE usage_delta_v%1$s, latency_delta_v%1$s;
  $sql$, p_version);
END $fn$;

-- drop_projection_version_v2: a version that is not served goes, with its tables.
-- in:  p_name, p_version; out: false when there is none; a foreign key error (23503) when it is the live one
CREATE FUNCTION drop_projection_version_v2(p_name text, p_version integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  DELETE FROM projection_version WHERE name = p_name AND version = p_version;
  IF NOT FOUND THEN RETURN false; END IF;
  DELETE FROM cursor WHERE name = p_name AND version = p_version;
  DELETE FROM parked_stream WHERE name = p_name AND version = p_version;
  PERFORM drop_prompts_tables_v1(p_version);
  RETURN true;
END $fn$;

CREATE FUNCTION drop_prompts_tables_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $fn$
BEGIN
  EXECUTE format('DROP TABLE IF EXISTS prompt_v%1$s, prompt_text_v%1$s, usage_v%1$s, user_usage_v%1$s, model_usage_v%1$s,
    user_number_v%1$s, model_user_v%1$s, latency_v%1$s, model_latency_v%1$s, real_use_v%1$s, usage_delta_v%1$s,
    latency_delta_v%1$s', p_version);
END $fn$;

REVOKE ALL ON FUNCTION create_prompts_tables_v3(integer), index_prompts_tables_v2(integer), create_prompts_deltas_v2(integer),
  merge_prompts_deltas_v2(integer), drop_projection_version_v2(text, integer), drop_prompts_tables_v1(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_prompts_tables_v3(integer), index_prompts_tables_v2(integer), create_prompts_deltas_v2(integer),
  merge_prompts_deltas_v2(integer), drop_projection_version_v2(text, integer) TO prompt_app;

-- What is served goes over to the new tables in place; versions beside it, which nobody reads, are made anew.
DO $do$
DECLARE
  live integer := (SELECT live_version FROM projection WHERE name = 'prompts');
BEGIN
  PERFORM drop_projection_version_v1('prompts', version) FROM projection_version WHERE name = 'prompts' AND version <> live;
  EXECUTE format($sql$
    ALTER TABLE prompt_v%1$s RENAME TO former_prompt;
    ALTER TABLE prompt_text_v%1$s RENAME TO former_prompt_text;
    ALTER TABLE usage_v%1$s RENAME TO former_usage;
    ALTER TABLE latency_v%1$s RENAME TO former_latency;
    ALTER TABLE former_prompt RENAME CONSTRAINT prompt_v%1$s_pkey TO former_prompt_pkey;
    ALTER TABLE former_prompt_text RENAME CONSTRAINT prompt_text_v%1$s_pkey TO former_prompt_text_pkey;
    ALTER TABLE former_usage RENAME CONSTRAINT usage_v%1$s_pkey TO former_usage_pkey;
    ALTER TABLE former_latency RENAME CONSTRAINT latency_v%1$s_pkey TO former_latency_pkey;
    DROP INDEX prompt_v%1$s_user_idx, prompt_v%1$s_time_idx, prompt_v%1$s_conversation_idx, prompt_text_v%1$s_words_idx;
    SELECT create_prompts_tables_v3(%1$s), create_prompts_deltas_v2(%1$s);
    INSERT INTO prompt_v%1$s
      SELECT p.prompt_id, p.user_id, p.status, p.model, p.conversation_id, p.emulated, p.submitted_at, e.position, p.position,
             p.state || jsonb_build_object('submittedPosition', e.position)
        FROM former_prompt p JOIN event e ON e.stream_id = p.prompt_id AND e.version = 1 ORDER BY e.position;
    INSERT INTO prompt_text_v%1$s (prompt_id, user_id, prompt, answer, encoding)
      SELECT prompt_id, user_id, prompt, answer, encoding FROM former_prompt_text;
    INSERT INTO usage_delta_v%1$s SELECT * FROM former_usage;
    INSERT INTO latency_delta_v%1$s SELECT * FROM former_latency;
    INSERT INTO real_use_v%1$s (position)
      SELECT min(position) FROM event
       WHERE position <= (SELECT position FROM cursor WHERE name = 'prompts' AND version = %1$s AND lane = 0)
         AND type IN ('PromptCompleted', 'AttemptFailed', 'AttemptDiscarded') AND data -> 'emulated' = 'false'
         AND (type = 'PromptCompleted' OR (data -> 'usage' ->> 'inputTokens')::bigint > 0 OR (data ->> 'nanoUsd')::bigint > 0)
         AND stream_id IN (SELECT prompt_id FROM former_prompt)
      HAVING min(position) IS NOT NULL;
    DROP TABLE former_prompt, former_prompt_text, former_usage, former_latency, usage_total_v%1$s;
    SELECT merge_prompts_deltas_v2(%1$s), index_prompts_tables_v2(%1$s);
  $sql$, live);
END $do$;

DROP FUNCTION create_prompts_tables(integer), create_prompts_tables_v2(integer), index_prompts_tables_v1(integer),
  create_prompts_deltas_v1(integer), merge_prompts_deltas_v1(integer), drop_projection_version_v1(text, integer);

-- Older builds would write the former tables.
UPDATE schema_support SET oldest_build = 9;
