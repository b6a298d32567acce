-- What a prompt is stands packed, and times stand with the sums of their prompts: half the room, and less to make anew.
-- contracts/prompt/packed-state.ts and contracts/prompt/histogram.ts say what is in them. The next migration goes over to it.

-- bins_sum_v1: how many there are of each code, upwards by code, each once, without those of which there are none. As sumOfBins.
-- in:  p_bins: n * 4096 + code each; n also negative
CREATE FUNCTION bins_sum_v1(p_bins bigint[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $fn$
BEGIN
  IF p_bins = '{}' THEN RETURN p_bins; END IF;
  RETURN (SELECT coalesce(array_agg(s.n * 4096 + s.code ORDER BY s.code), '{}')
            FROM (SELECT b & 4095 AS code, total_v1(b >> 12) AS n FROM unnest(p_bins) b GROUP BY 1) s WHERE s.n <> 0);
END $fn$;
-- bins_sum_v1: the same of arrays of which string_agg(bins::text, '') has made one text: any number of them, where an array to which
-- one after the other is added would be copied with each.
CREATE FUNCTION bins_sum_v1(p_arrays text) RETURNS bigint[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $fn$
  SELECT bins_sum_v1(('{' || btrim(regexp_replace(p_arrays, '[{}]+', ',', 'g'), ',') || '}')::bigint[])
$fn$;

-- Since when the server had surely been up as a version was begun (server_up): what its bulk phase writes down is not logged,
-- and is gone with a crash of the server.
ALTER TABLE projection_version ADD COLUMN up_since timestamptz;

-- create_prompts_tables_v4: the tables of one version of the `prompts` projection, with the keys that writing needs.
-- in:  p_version; p_bulk: for a bulk phase, whose end adds sums up and makes their keys then, see merge_prompts_usage_v3
-- All of them hold what a fold of the log gives, and nothing else: no clocks, no sequences.
CREATE FUNCTION create_prompts_tables_v4(p_version integer, p_bulk boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
DECLARE
  sums text := $sums$
    queued              bigint NOT NULL, running   bigint NOT NULL, retrying bigint NOT NULL,
    completed           bigint NOT NULL, failed    bigint NOT NULL, cancelled bigint NOT NULL,
    expired             bigint NOT NULL,
    input_tokens        bigint NOT NULL, cached_input_tokens bigint NOT NULL,
    output_tokens       bigint NOT NULL, thought_tokens      bigint NOT NULL,
    -- nano-USD: a row holds nine billion dollars
    confirmed_nano_usd  bigint NOT NULL, wasted_nano_usd bigint NOT NULL, unknown_bound_nano_usd bigint NOT NULL,
    unknown_attempts    bigint NOT NULL    -- whose cost nobody knows; the bound is of those that have one
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
      state              text        NOT NULL,  -- what has no column of its own, see contracts/prompt/packed-state.ts
      -- what is looked for, where an index of all would be large; in columns: an update that leaves them as they are is HOT
      left_as            text        GENERATED ALWAYS AS (CASE WHEN status IN ('failed', 'cancelled', 'expired') THEN status END) STORED,
      span_class         smallint    GENERATED ALWAYS AS (span_class_v1(position - submitted_position)) STORED
    ) WITH (fillfactor = 80);

    -- By time of submission, of each user and model: levels 0, 2, 3, 4, 5.
    CREATE TABLE usage_v%1$s (
      level smallint NOT NULL, bucket timestamptz NOT NULL, user_id text NOT NULL, model text NOT NULL,
      emulated boolean NOT NULL, %2$s,
      bins bigint[] NOT NULL DEFAULT '{}'   -- of times, at level 0: coarser ones would be as many
    ) PARTITION BY LIST (level);

    -- Of each user, over all models: levels 2, 3, 4, 5. Who spent most is read from here.
    CREATE TABLE user_usage_v%1$s (
      level smallint NOT NULL, bucket timestamptz NOT NULL, user_id text NOT NULL, emulated boolean NOT NULL, %2$s
    ) PARTITION BY LIST (level);

    -- Of each model, over all users: every level.
    CREATE TABLE model_usage_v%1$s (
      level smallint NOT NULL, bucket timestamptz NOT NULL, model text NOT NULL, emulated boolean NOT NULL, %2$s,
      bins bigint[] NOT NULL DEFAULT '{}'   -- of times, at levels 0 and 1
    ) WITH (fillfactor = 70);

    -- Times of each model, over all users, at levels 2, 3, 4, 5: a row of each bin, since few of them change with an answer.
    CREATE TABLE model_latency_v%1$s (
      level smallint NOT NULL, bucket timestamptz NOT NULL, model text NOT NULL, emulated boolean NOT NULL,
      bin smallint NOT NULL, n bigint NOT NULL
    ) WITH (fillfactor = 70);

    -- Users by number, in the order of their first prompts.
    CREATE TABLE user_number_v%1$s (number integer NOT NULL PRIMARY KEY, user_id text NOT NULL UNIQUE);

    -- Who used a model: bit n of piece p is the user of number 512 p + n. Different users add up by OR; a bit is set as long
    -- as usage_v has a prompt of theirs in such a row. Levels as there.
    CREATE TABLE model_user_v%1$s (
      level smallint NOT NULL, bucket timestamptz NOT NULL, model text NOT NULL, emulated boolean NOT NULL,
      piece integer NOT NULL, users bit(512) NOT NULL
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
  PERFORM create_prompt_texts_v1(p_version), spare_prompts_statistics_v1(p_version);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON prompt_v%1$s, usage_v%1$s, user_usage_v%1$s,
    model_usage_v%1$s, model_latency_v%1$s, user_number_v%1$s, model_user_v%1$s, real_use_v%1$s TO prompt_app', p_version);
  IF p_bulk THEN
    EXECUTE format($sql$
      CREATE UNLOGGED TABLE usage_delta_v%1$s (LIKE usage_v%1$s);
      ALTER TABLE usage_delta_v%1$s DROP COLUMN level;
      GRANT SELECT, INSERT ON usage_delta_v%1$s TO prompt_app;
    $sql$, p_version);
  ELSE
    PERFORM key_prompts_usage_v1(p_version), key_prompts_models_v1(p_version);
  END IF;
END $fn$;

-- epoch_v1: whole seconds since 1970
CREATE FUNCTION epoch_v1(p_time timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT floor(date_part('epoch', p_time AT TIME ZONE 'UTC'))::bigint
$$;

-- text_marks_v1: words that nobody can write (a word of the configuration `simple` never begins so), which a prompt is found by too:
-- of whom it is, and in which spans of 8^2 to 8^8 seconds it was submitted. One expression, which is planned where it stands; what it
-- names is settled here and not by a session's path: a dump is put back without one.
-- in:  p_user_id, of which the first 256 characters count: a word has 2 kB at most; p_submitted_at
CREATE FUNCTION text_marks_v1(p_user_id text, p_submitted_at timestamptz) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY['@u' || left(p_user_id, 256), '@2:' || (epoch_v1(p_submitted_at) >> 6)::text,
  '@3:' || (epoch_v1(p_submitted_at) >> 9)::text, '@4:' || (epoch_v1(p_submitted_at) >> 12)::text,
  '@5:' || (epoch_v1(p_submitted_at) >> 15)::text, '@6:' || (epoch_v1(p_submitted_at) >> 18)::text,
  '@7:' || (epoch_v1(p_submitted_at) >> 21)::text, '@8:' || (epoch_v1(p_submitted_at) >> 24)::text];

-- create_prompt_texts_v1: the table of texts of one version.
-- in:  p_version
CREATE FUNCTION create_prompt_texts_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  EXECUTE format($sql$
    -- Text apart from state: the word index is not touched while a prompt only changes its state.
    CREATE TABLE prompt_text_v%1$s (
      prompt_id    uuid NOT NULL PRIMARY KEY,
      user_id      text NOT NULL,
      prompt       text NOT NULL,
      answer       text,
      encoding     text NOT NULL DEFAULT 'plain',   -- of the answer, see contracts/answer-text.ts
      submitted_at timestamptz NOT NULL,
      -- the first 50,000 characters of each: a tsvector holds at most 1 MB. Where in a text a word stands nobody asks.
      words        tsvector GENERATED ALWAYS AS
        (strip(to_tsvector('simple', left(prompt, 50000))) || strip(to_tsvector('simple', left(coalesce(answer, ''), 50000)))
         || array_to_tsvector(text_marks_v1(user_id, submitted_at))) STORED
    );
    GRANT SELECT, INSERT, UPDATE, DELETE ON prompt_text_v%1$s TO prompt_app;
  $sql$, p_version);
END $fn$;

-- index_prompt_texts_v1: what makes their words fast to find.
-- in:  p_version. Does nothing when it was done.
CREATE OR REPLACE FUNCTION index_prompt_texts_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET maintenance_work_mem = '128MB' AS $fn$
DECLARE
  has_rows boolean;
BEGIN
  EXECUTE format($sql$
    -- What was written last is looked through by every search until it is sorted in: 64 pages, and not 512.
    CREATE INDEX IF NOT EXISTS prompt_text_v%1$s_words_idx ON prompt_text_v%1$s USING gin (words)
      WITH (gin_pending_list_limit = 512);
    -- The commonest words are enough; the texts themselves are never compared.
    ALTER TABLE prompt_text_v%1$s ALTER COLUMN words SET STATISTICS 20, ALTER COLUMN prompt SET STATISTICS 0,
      ALTER COLUMN answer SET STATISTICS 0;
  $sql$, p_version);
  EXECUTE format('SELECT EXISTS (SELECT FROM prompt_text_v%s)', p_version) INTO has_rows;
  IF has_rows THEN EXECUTE format('ANALYZE prompt_text_v%s', p_version); END IF;
END $fn$;

-- spare_prompts_statistics_v1: by what is packed and by sums nothing is looked for; ANALYZE passes over them.
-- in:  p_version
CREATE FUNCTION spare_prompts_statistics_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $fn$
DECLARE
  one record;
BEGIN
  FOR one IN
    SELECT attrelid::regclass AS name, string_agg(format('ALTER COLUMN %I SET STATISTICS 0', attname), ', ') AS actions
      FROM pg_attribute JOIN unnest(ARRAY['prompt', 'usage', 'user_usage', 'model_usage', 'model_latency', 'model_user']) AS t(name)
        ON attrelid = format('%s_v%s', t.name, p_version)::regclass
     WHERE attname = 'state' OR attname IN ('bins', 'n', 'users') OR attname ~ '_(tokens|usd|attempts)$'
        OR attname IN ('queued', 'running', 'retrying', 'completed', 'failed', 'cancelled', 'expired')
     GROUP BY attrelid LOOP
    EXECUTE format('ALTER TABLE %s %s', one.name, one.actions);
  END LOOP;
END $fn$;

-- key_prompts_usage_v1, key_prompts_models_v1: the keys of sums; they are made when what there is to add up is added up.
-- in:  p_version
CREATE FUNCTION key_prompts_usage_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $fn$
BEGIN
  EXECUTE format($sql$
    ALTER TABLE usage_v%1$s ADD PRIMARY KEY (level, bucket, user_id, model, emulated);
    ALTER TABLE user_usage_v%1$s ADD PRIMARY KEY (level, bucket, user_id, emulated);
    ALTER TABLE model_user_v%1$s ADD PRIMARY KEY (level, bucket, model, emulated, piece);
    CREATE INDEX usage_v%1$s_user_idx ON usage_v%1$s (user_id, level, bucket);
  $sql$, p_version);
END $fn$;
CREATE FUNCTION key_prompts_models_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $fn$
BEGIN
  EXECUTE format($sql$
    ALTER TABLE model_usage_v%1$s ADD PRIMARY KEY (level, bucket, model, emulated);
    ALTER TABLE model_latency_v%1$s ADD PRIMARY KEY (level, bucket, model, emulated, bin);
  $sql$, p_version);
END $fn$;

-- require_prompts_deltas_v1: an error (data_corrupted) when what a bulk phase wrote down was lost with the server.
-- in:  p_version
CREATE FUNCTION require_prompts_deltas_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $fn$
BEGIN
  IF NOT has_prompts_deltas_v1(p_version) THEN
    RAISE data_corrupted USING MESSAGE = format('what version %s had written down was lost when the server crashed', p_version);
  END IF;
END $fn$;
-- has_prompts_deltas_v1: whether what the bulk phase of a version has written down is still there.
-- in:  p_version
CREATE FUNCTION has_prompts_deltas_v1(p_version integer) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
  SELECT coalesce(v.up_since = note_up_v1(), false) FROM projection_version v WHERE v.name = 'prompts' AND v.version = p_version
$fn$;

-- prompts_sums_v1: what a row of sums is, added up from others: a part of a statement
CREATE FUNCTION prompts_sums_v1() RETURNS text
LANGUAGE sql IMMUTABLE AS $fn$
  SELECT 'total_v1(queued), total_v1(running), total_v1(retrying), total_v1(completed), total_v1(failed),
    total_v1(cancelled), total_v1(expired), total_v1(input_tokens), total_v1(cached_input_tokens), total_v1(output_tokens),
    total_v1(thought_tokens), total_v1(confirmed_nano_usd), total_v1(wasted_nano_usd), total_v1(unknown_bound_nano_usd),
    total_v1(unknown_attempts)'
$fn$;

-- merge_prompts_usage_v3: adds up the sums that the bulk phase of a version wrote down, of users, each level from the one below.
-- in:  p_version. Does nothing when it was done. Rows that add up to nothing are not made, as a running projector drops them;
--      a user's bit stands for prompts.
CREATE FUNCTION merge_prompts_usage_v3(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET work_mem = '64MB' SET maintenance_work_mem = '64MB' AS $fn$
DECLARE
  sums text := prompts_sums_v1();
  filled text := format('HAVING (%s) <> (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)', sums);
  l integer;
  has_rows boolean;
BEGIN
  IF to_regclass(format('usage_v%s_pkey', p_version)) IS NOT NULL THEN RETURN; END IF;
  PERFORM require_prompts_deltas_v1(p_version);
  EXECUTE format($sql$
    INSERT INTO usage_v%1$s
      SELECT 0, bucket, user_id, model, emulated, %2$s,
             CASE count(*) WHEN 1 THEN min(bins) ELSE bins_sum_v1(string_agg(bins::text, '')) END
        FROM usage_delta_v%1$s GROUP BY bucket, user_id, model, emulated %3$s ORDER BY bucket, user_id, model, emulated;
  $sql$, p_version, sums, filled);
  FOR l IN 2..5 LOOP
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
      SELECT 0, bucket, model, emulated, number / 512, bit_or(set_bit(0::bit(512), number %% 512, 1))
        FROM usage_v%1$s JOIN user_number_v%1$s USING (user_id)
       WHERE level = 0 AND (queued, running, retrying, completed, failed, cancelled, expired) <> (0, 0, 0, 0, 0, 0, 0)
       GROUP BY bucket, model, emulated, number / 512 ORDER BY bucket, model, emulated, number / 512;
  $sql$, p_version);
  FOR l IN 2..5 LOOP
    EXECUTE format($sql$
      INSERT INTO model_user_v%1$s SELECT %2$s, level_start_v1(%2$s::smallint, bucket) AS span, model, emulated, piece, bit_or(users)
        FROM model_user_v%1$s WHERE level = %3$s GROUP BY span, model, emulated, piece ORDER BY span, model, emulated, piece;
    $sql$, p_version, l, CASE l WHEN 2 THEN 0 ELSE l - 1 END);
  END LOOP;
  PERFORM key_prompts_usage_v1(p_version);
  EXECUTE format('SELECT EXISTS (SELECT FROM usage_v%s)', p_version) INTO has_rows;
  IF has_rows THEN
    EXECUTE format('ANALYZE usage_v%1$s, user_usage_v%1$s, user_number_v%1$s, model_user_v%1$s, real_use_v%1$s', p_version);
  END IF;
END $fn$;

-- merge_prompts_models_v1: the same over all users, with their times.
-- in:  p_version. Does nothing when it was done.
CREATE FUNCTION merge_prompts_models_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET work_mem = '64MB' SET maintenance_work_mem = '64MB' AS $fn$
DECLARE
  sums text := prompts_sums_v1();
  filled text := format('HAVING (%s) <> (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)', sums);
  l integer;
  has_rows boolean;
BEGIN
  IF to_regclass(format('model_usage_v%s_pkey', p_version)) IS NOT NULL THEN RETURN; END IF;
  PERFORM require_prompts_deltas_v1(p_version);
  FOR l IN 0..1 LOOP
    EXECUTE format($sql$
      INSERT INTO model_usage_v%1$s
        SELECT %3$s, s.*, coalesce(t.bins, '{}')
          FROM (SELECT level_start_v1(%3$s::smallint, bucket) AS span, model, emulated, %2$s
                  FROM %4$s GROUP BY span, model, emulated %5$s) s
          LEFT JOIN (
            SELECT span, model, emulated, array_agg(n * 4096 + code ORDER BY code) AS bins
              FROM (SELECT level_start_v1(%3$s::smallint, bucket) AS span, model, emulated, b & 4095 AS code, total_v1(b >> 12) AS n
                      FROM %4$s CROSS JOIN unnest(bins) b GROUP BY 1, 2, 3, 4) c
             WHERE n <> 0 GROUP BY span, model, emulated) t USING (span, model, emulated)
         ORDER BY span, model, emulated
    $sql$, p_version, sums, l,
      CASE l WHEN 0 THEN format('usage_delta_v%s', p_version)
             ELSE format('(SELECT * FROM model_usage_v%s WHERE level = 0) f', p_version) END, filled);
  END LOOP;
  EXECUTE format($sql$
    INSERT INTO model_latency_v%1$s
      SELECT 2, level_start_v1(2::smallint, bucket) AS span, model, emulated, b & 4095, total_v1(b >> 12)
        FROM model_usage_v%1$s CROSS JOIN unnest(bins) b WHERE level = 1
       GROUP BY span, model, emulated, b & 4095 ORDER BY span, model, emulated, b & 4095;
  $sql$, p_version);
  FOR l IN 2..5 LOOP
    EXECUTE format($sql$
      INSERT INTO model_usage_v%1$s SELECT %3$s, level_start_v1(%3$s::smallint, bucket) AS span, model, emulated, %2$s
        FROM model_usage_v%1$s WHERE level = %3$s - 1 GROUP BY span, model, emulated ORDER BY span, model, emulated;
    $sql$, p_version, sums, l);
    CONTINUE WHEN l = 2;
    EXECUTE format($sql$
      INSERT INTO model_latency_v%1$s SELECT %2$s, level_start_v1(%2$s::smallint, bucket) AS span, model, emulated, bin, total_v1(n)
        FROM model_latency_v%1$s WHERE level = %2$s - 1 GROUP BY span, model, emulated, bin ORDER BY span, model, emulated, bin;
    $sql$, p_version, l);
  END LOOP;
  PERFORM key_prompts_models_v1(p_version);
  EXECUTE format('SELECT EXISTS (SELECT FROM model_usage_v%s)', p_version) INTO has_rows;
  IF has_rows THEN EXECUTE format('ANALYZE model_usage_v%1$s, model_latency_v%1$s', p_version); END IF;
END $fn$;

-- drop_prompts_deltas_v1: what a bulk phase has written down goes, when all of it is added up.
-- in:  p_version. Does nothing when it was done.
CREATE FUNCTION drop_prompts_deltas_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  EXECUTE format('DROP TABLE IF EXISTS usage_delta_v%s', p_version);
END $fn$;

REVOKE ALL ON FUNCTION create_prompts_tables_v4(integer, boolean), create_prompt_texts_v1(integer),
  spare_prompts_statistics_v1(integer), key_prompts_usage_v1(integer), key_prompts_models_v1(integer),
  require_prompts_deltas_v1(integer), has_prompts_deltas_v1(integer), merge_prompts_usage_v3(integer),
  merge_prompts_models_v1(integer), drop_prompts_deltas_v1(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_prompts_tables_v4(integer, boolean), has_prompts_deltas_v1(integer),
  merge_prompts_usage_v3(integer), merge_prompts_models_v1(integer), drop_prompts_deltas_v1(integer) TO prompt_app;
