-- What a page of prompts that did not complete, and a look back in time, are found by in a log of any length.

-- span_class_v1: in which class the span of a prompt is, from its submission to its last event: null for one shorter than 4096
-- positions, class c for one shorter than 4096 * 4^c. Whatever was under way at a position P and is of class c was submitted
-- in the last 4096 * 4^c positions before it, and most of class c that were submitted then were under way at P.
-- in:  p_span, positions
CREATE FUNCTION span_class_v1(p_span bigint) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT nullif(width_bucket(p_span, ARRAY[4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864, 268435456,
    1073741824, 4294967296, 17179869184, 68719476736, 274877906944, 1099511627776, 4398046511104, 17592186044416,
    70368744177664, 281474976710656, 1125899906842624, 4503599627370496]::bigint[]), 0)::smallint
$$;

-- widen_prompts_v1: the columns that the indexes below are of. Generated, so that whoever writes a row need not know of them,
-- and in columns rather than expressions: an update that leaves their values as they are stays HOT. It rewrites the table.
-- in:  p_version. Does nothing when it was done.
CREATE FUNCTION widen_prompts_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  EXECUTE format($sql$
    ALTER TABLE prompt_v%1$s
      ADD COLUMN IF NOT EXISTS left_as text
        GENERATED ALWAYS AS (CASE WHEN status IN ('failed', 'cancelled', 'expired') THEN status END) STORED,
      ADD COLUMN IF NOT EXISTS span_class smallint
        GENERATED ALWAYS AS (span_class_v1(position - submitted_position)) STORED
  $sql$, p_version);
END $fn$;

-- Under the names that a rebuild of the release before calls, too: what it makes is read by this one.
ALTER FUNCTION create_prompts_tables_v3(integer) RENAME TO create_narrow_prompts_tables_v1;
CREATE FUNCTION create_prompts_tables_v3(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  PERFORM create_narrow_prompts_tables_v1(p_version), widen_prompts_v1(p_version);
END $fn$;

-- index_prompts_v1: what makes prompts fast to read.
-- in:  p_version. Does nothing when it was done.
CREATE OR REPLACE FUNCTION index_prompts_v1(p_version integer) RETURNS void
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
    CREATE INDEX IF NOT EXISTS prompt_v%1$s_left_idx ON prompt_v%1$s (left_as, submitted_at DESC, prompt_id DESC)
      WHERE left_as IS NOT NULL;
    -- Prompts under way at a position: the short ones were submitted just before it, the long ones are looked for by class.
    CREATE INDEX IF NOT EXISTS prompt_v%1$s_submitted_idx ON prompt_v%1$s (submitted_position);
    CREATE INDEX IF NOT EXISTS prompt_v%1$s_long_idx ON prompt_v%1$s (span_class, submitted_position)
      WHERE span_class IS NOT NULL;
    DROP INDEX IF EXISTS prompt_v%1$s_span_idx;
    -- Nothing is looked for by it.
    ALTER TABLE prompt_v%1$s ALTER COLUMN state SET STATISTICS 0;
  $sql$, p_version);
  EXECUTE format('SELECT EXISTS (SELECT FROM prompt_v%s)', p_version) INTO has_rows;
  IF has_rows THEN EXECUTE format('ANALYZE prompt_v%s', p_version); END IF;
END $fn$;

REVOKE ALL ON FUNCTION widen_prompts_v1(integer), create_prompts_tables_v3(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_prompts_tables_v3(integer) TO prompt_app;

-- The versions that there are; one that is being built gets its indexes when its bulk phase is over.
DO $do$
DECLARE
  one integer;
BEGIN
  FOR one IN SELECT version FROM projection_version WHERE name = 'prompts' LOOP
    PERFORM widen_prompts_v1(one);
    IF to_regclass(format('prompt_v%s_span_idx', one)) IS NOT NULL THEN PERFORM index_prompts_v1(one); END IF;
  END LOOP;
END $do$;
