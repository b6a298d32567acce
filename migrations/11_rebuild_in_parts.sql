-- The end of a bulk phase in parts that do not wait for each other: each is a transaction of its own, does nothing when it
-- was done, and analyzes what it has made. Statistics of an empty table are worse than none: plans would be made for one
-- that stays empty.

-- merge_prompts_usage_v1: adds up the sums that the bulk phase of a version wrote down, each level from the one below, and
-- drops what was written down.
-- in:  p_version. Rows that add up to nothing are not made, as a running projector drops them.
CREATE FUNCTION merge_prompts_usage_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET work_mem = '64MB' SET maintenance_work_mem = '64MB' AS $fn$
DECLARE
  sums text := 'sum(queued), sum(running), sum(retrying), sum(completed), sum(failed), sum(cancelled), sum(expired),
    sum(input_tokens), sum(cached_input_tokens), sum(output_tokens), sum(thought_tokens),
    sum(confirmed_nano_usd), sum(wasted_nano_usd), sum(unknown_bound_nano_usd)';
  filled text := 'HAVING (sum(queued), sum(running), sum(retrying), sum(completed), sum(failed), sum(cancelled), sum(expired))
    <> (0, 0, 0, 0, 0, 0, 0)';
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

-- merge_prompts_latency_v1: the same of the histograms.
-- in:  p_version
CREATE FUNCTION merge_prompts_latency_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET work_mem = '64MB' AS $fn$
DECLARE
  has_rows boolean;
BEGIN
  IF to_regclass(format('latency_delta_v%s', p_version)) IS NULL THEN RETURN; END IF;
  EXECUTE format($sql$
    INSERT INTO latency_v%1$s SELECT bucket, user_id, model, emulated, measure, bin, sum(n) FROM latency_delta_v%1$s
      GROUP BY bucket, user_id, model, emulated, measure, bin HAVING sum(n) <> 0
      ORDER BY user_id, bucket, model, emulated, measure, bin;
    INSERT INTO model_latency_v%1$s SELECT 0, bucket, model, emulated, measure, bin, sum(n) FROM latency_delta_v%1$s
      GROUP BY bucket, model, emulated, measure, bin HAVING sum(n) <> 0 ORDER BY bucket, model, emulated, measure, bin;
  $sql$, p_version);
  FOR l IN 1..5 LOOP
    EXECUTE format($sql$
      INSERT INTO model_latency_v%1$s
        SELECT %2$s, level_start_v1(%2$s::smallint, bucket) AS span, model, emulated, measure, bin, sum(n)
          FROM model_latency_v%1$s WHERE level = %2$s - 1
         GROUP BY span, model, emulated, measure, bin ORDER BY span, model, emulated, measure, bin;
    $sql$, p_version, l);
  END LOOP;
  EXECUTE format('DROP TABLE latency_delta_v%s', p_version);
  EXECUTE format('SELECT EXISTS (SELECT FROM latency_v%s)', p_version) INTO has_rows;
  IF has_rows THEN EXECUTE format('ANALYZE latency_v%1$s, model_latency_v%1$s', p_version); END IF;
END $fn$;

-- index_prompts_v1: what makes prompts fast to read.
-- in:  p_version
CREATE FUNCTION index_prompts_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET maintenance_work_mem = '64MB' AS $fn$
DECLARE
  has_rows boolean;
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
    -- Nothing is looked for by it.
    ALTER TABLE prompt_v%1$s ALTER COLUMN state SET STATISTICS 0;
  $sql$, p_version);
  EXECUTE format('SELECT EXISTS (SELECT FROM prompt_v%s)', p_version) INTO has_rows;
  IF has_rows THEN EXECUTE format('ANALYZE prompt_v%s', p_version); END IF;
END $fn$;

-- index_prompt_texts_v1: what makes their words fast to find.
-- in:  p_version
CREATE FUNCTION index_prompt_texts_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET maintenance_work_mem = '128MB' AS $fn$
DECLARE
  has_rows boolean;
BEGIN
  EXECUTE format($sql$
    CREATE INDEX IF NOT EXISTS prompt_text_v%1$s_words_idx ON prompt_text_v%1$s USING gin (words);
    -- The commonest words are enough; the texts themselves are never compared.
    ALTER TABLE prompt_text_v%1$s ALTER COLUMN words SET STATISTICS 20, ALTER COLUMN prompt SET STATISTICS 0,
      ALTER COLUMN answer SET STATISTICS 0;
  $sql$, p_version);
  EXECUTE format('SELECT EXISTS (SELECT FROM prompt_text_v%s)', p_version) INTO has_rows;
  IF has_rows THEN EXECUTE format('ANALYZE prompt_text_v%s', p_version); END IF;
END $fn$;

REVOKE ALL ON FUNCTION merge_prompts_usage_v1(integer), merge_prompts_latency_v1(integer), index_prompts_v1(integer),
  index_prompt_texts_v1(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION merge_prompts_usage_v1(integer), merge_prompts_latency_v1(integer), index_prompts_v1(integer),
  index_prompt_texts_v1(integer) TO prompt_app;
