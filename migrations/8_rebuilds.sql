-- Rebuilds beside what is served: resumed after a crash, switched and switched back in one row.

-- projection: which version of each projection is served. A switch and the way back are one UPDATE.
CREATE TABLE projection (
  name         text    NOT NULL PRIMARY KEY,
  live_version integer NOT NULL,
  last_version integer NOT NULL,   -- given so far; none is given twice
  FOREIGN KEY (name, live_version) REFERENCES projection_version (name, version)
);
INSERT INTO projection (name, live_version, last_version)
  SELECT name, version, (SELECT max(o.version) FROM projection_version o WHERE o.name = v.name)
    FROM projection_version v WHERE status = 'live';

-- A version is building (not whole yet) or ready (tailed, unless frozen); the live one is one of the ready ones.
DROP INDEX projection_version_live_idx;
ALTER TABLE projection_version
  DROP CONSTRAINT projection_version_status_check,
  ADD COLUMN target   bigint,                                          -- where its bulk phase ends
  ADD COLUMN prices   text,                                            -- other prices than those charged; then it is frozen
  ADD COLUMN lanes    integer NOT NULL DEFAULT 0,                      -- of its bulk phase
  ADD COLUMN ready_at timestamptz,
  ADD COLUMN verdict  text CHECK (verdict IN ('equal', 'different'));  -- compared with the live one, at one position
UPDATE projection_version SET status = 'ready', ready_at = created_at WHERE status <> 'building';
ALTER TABLE projection_version ADD CHECK (status IN ('building', 'ready'));

-- Lane 0 is where a version stands. Lanes 1 and up: those of its bulk phase.
-- events: how many a lane has folded; together they must be as many as the log has up to the target.
ALTER TABLE cursor ADD COLUMN events bigint NOT NULL DEFAULT 0;

-- live_projection: the served version of each projection, and how far it is.
CREATE VIEW live_projection AS
  SELECT p.name, p.live_version AS version, c.position, c.as_of
    FROM projection p JOIN cursor c ON c.name = p.name AND c.version = p.live_version AND c.lane = 0;

-- rebuild: asked for by an admin over HTTP, done by a projector; one at a time for a projection. A row without `ended_at`
-- is a job: whoever gets the lock of rebuilds does it, or takes it up where a process that died has left it.
CREATE TABLE rebuild (
  id                uuid        NOT NULL PRIMARY KEY,
  name              text        NOT NULL REFERENCES projection (name),
  requested_by      text        NOT NULL,
  requested_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  dry_run           boolean     NOT NULL,
  started_at        timestamptz,
  tries             integer     NOT NULL DEFAULT 0,   -- how many times it was begun or taken up
  ended_at          timestamptz,
  version           integer,                          -- being built, or built
  outcome           text CHECK (outcome IN ('switched', 'kept', 'dropped', 'failed')),
  error             text,
  -- how far it is, told by who does it twice a second at most
  phase             text CHECK (phase IN ('folding', 'indexing', 'catching_up', 'comparing')),
  position          bigint,
  target            bigint,
  events_per_second integer,
  told_at           timestamptz,
  CHECK ((ended_at IS NULL) = (outcome IS NULL))
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX rebuild_open_idx ON rebuild (name) WHERE ended_at IS NULL;

-- create_prompts_tables_v2: the tables of one version of the `prompts` projection, without the indexes that only reads
-- need: index_prompts_tables_v1 makes these when the bulk phase is over.
-- in:  p_version
-- All of them hold what a fold of the log gives, and nothing else: no clocks, no sequences.
CREATE FUNCTION create_prompts_tables_v2(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  IF p_version < 1 THEN RAISE EXCEPTION '% is no version of a projection', p_version; END IF;
  PERFORM create_prompts_tables(p_version);
  EXECUTE format('DROP INDEX prompt_v%1$s_user_idx, prompt_v%1$s_time_idx, prompt_v%1$s_conversation_idx,
    prompt_text_v%1$s_words_idx', p_version);
END $fn$;

-- index_prompts_tables_v1: what makes the tables of a version fast to read.
-- in:  p_version. Does nothing when it was done.
CREATE FUNCTION index_prompts_tables_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET maintenance_work_mem = '128MB' AS $fn$
BEGIN
  EXECUTE format($sql$
    CREATE INDEX IF NOT EXISTS prompt_v%1$s_user_idx ON prompt_v%1$s (user_id, submitted_at DESC, prompt_id DESC);
    CREATE INDEX IF NOT EXISTS prompt_v%1$s_time_idx ON prompt_v%1$s (submitted_at DESC, prompt_id DESC);
    CREATE INDEX IF NOT EXISTS prompt_v%1$s_conversation_idx ON prompt_v%1$s (conversation_id, submitted_at DESC)
      WHERE conversation_id IS NOT NULL;
    CREATE INDEX IF NOT EXISTS prompt_text_v%1$s_words_idx ON prompt_text_v%1$s USING gin (words);
    ANALYZE prompt_v%1$s, prompt_text_v%1$s, usage_v%1$s, usage_total_v%1$s, latency_v%1$s;
  $sql$, p_version);
END $fn$;

-- create_prompts_deltas_v1: what the bulk phase of a version writes its sums to. Lanes that added them up in place would
-- wait for each other's rows; so they are only written down, and merge_prompts_deltas_v1 adds them up once.
-- in:  p_version
CREATE FUNCTION create_prompts_deltas_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  EXECUTE format($sql$
    CREATE TABLE usage_delta_v%1$s (LIKE usage_v%1$s);
    CREATE TABLE latency_delta_v%1$s (LIKE latency_v%1$s);
    GRANT SELECT, INSERT ON usage_delta_v%1$s, latency_delta_v%1$s TO prompt_app;
  $sql$, p_version);
END $fn$;

-- merge_prompts_deltas_v1: adds up what the bulk phase of a version wrote down, and drops that.
-- in:  p_version. Does nothing when it was done. Rows that add up to nothing are not made, as a running projector drops them.
CREATE FUNCTION merge_prompts_deltas_v1(p_version integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET work_mem = '64MB' AS $fn$
DECLARE
  sums text := 'sum(queued), sum(running), sum(retrying), sum(completed), sum(failed), sum(cancelled), sum(expired),
    sum(input_tokens), sum(cached_input_tokens), sum(output_tokens), sum(thought_tokens),
    sum(confirmed_nano_usd), sum(wasted_nano_usd), sum(unknown_bound_nano_usd)';
  filled text := 'HAVING (sum(queued), sum(running), sum(retrying), sum(completed), sum(failed), sum(cancelled), sum(expired))
    <> (0, 0, 0, 0, 0, 0, 0)';
BEGIN
  IF to_regclass(format('usage_delta_v%s', p_version)) IS NULL THEN RETURN; END IF;
  EXECUTE format($sql$
    INSERT INTO usage_v%1$s SELECT bucket, user_id, model, emulated, %2$s FROM usage_delta_v%1$s
      GROUP BY bucket, user_id, model, emulated %3$s ORDER BY bucket, user_id, model, emulated;
    INSERT INTO usage_total_v%1$s SELECT user_id, model, emulated, %2$s FROM usage_v%1$s
      GROUP BY user_id, model, emulated ORDER BY user_id, model, emulated;
    INSERT INTO latency_v%1$s SELECT bucket, user_id, model, emulated, measure, bin, sum(n) FROM latency_delta_v%1$s
      GROUP BY bucket, user_id, model, emulated, measure, bin HAVING sum(n) <> 0
      ORDER BY bucket, user_id, model, emulated, measure, bin;
    DROP TABLE usage_delta_v%1$s, latency_delta_v%1$s;
  $sql$, p_version, sums, filled);
END $fn$;

-- drop_projection_version_v1: a version that is not served goes, with its tables.
-- in:  p_name, p_version; out: false when there is none; a foreign key error (23503) when it is the live one
CREATE FUNCTION drop_projection_version_v1(p_name text, p_version integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  DELETE FROM projection_version WHERE name = p_name AND version = p_version;
  IF NOT FOUND THEN RETURN false; END IF;
  DELETE FROM cursor WHERE name = p_name AND version = p_version;
  DELETE FROM parked_stream WHERE name = p_name AND version = p_version;
  EXECUTE format('DROP TABLE IF EXISTS prompt_v%1$s, prompt_text_v%1$s, usage_v%1$s, usage_total_v%1$s, latency_v%1$s,
    usage_delta_v%1$s, latency_delta_v%1$s', p_version);
  RETURN true;
END $fn$;

-- switch_projection_v1: serves another version from now on.
-- in:  p_name, p_version
-- out: switched | live (it is already) | unknown | building | frozen | behind (its cursor is behind the live one's)
-- Both cursors are locked while it is judged: readers never go back behind what they were shown.
CREATE FUNCTION switch_projection_v1(p_name text, p_version integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
DECLARE
  live integer;
  wanted projection_version;
BEGIN
  SELECT live_version INTO live FROM projection WHERE name = p_name FOR UPDATE;
  SELECT * INTO wanted FROM projection_version WHERE name = p_name AND version = p_version;
  IF live IS NULL OR wanted.version IS NULL THEN RETURN 'unknown'; END IF;
  IF live = p_version THEN RETURN 'live'; END IF;
  IF wanted.status <> 'ready' THEN RETURN 'building'; END IF;
  IF wanted.frozen THEN RETURN 'frozen'; END IF;
  PERFORM 1 FROM cursor WHERE name = p_name AND version IN (live, p_version) AND lane = 0 ORDER BY version FOR UPDATE;
  IF (SELECT position FROM cursor WHERE name = p_name AND version = p_version AND lane = 0)
     < (SELECT position FROM cursor WHERE name = p_name AND version = live AND lane = 0) THEN RETURN 'behind'; END IF;
  UPDATE projection SET live_version = p_version WHERE name = p_name;
  RETURN 'switched';
END $fn$;

REVOKE ALL ON FUNCTION create_prompts_tables_v2(integer), index_prompts_tables_v1(integer), create_prompts_deltas_v1(integer),
  merge_prompts_deltas_v1(integer), drop_projection_version_v1(text, integer), switch_projection_v1(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_prompts_tables_v2(integer), index_prompts_tables_v1(integer), create_prompts_deltas_v1(integer),
  merge_prompts_deltas_v1(integer), drop_projection_version_v1(text, integer), switch_projection_v1(text, integer) TO prompt_app;
GRANT SELECT ON projection, live_projection TO prompt_app;
GRANT UPDATE (last_version) ON projection TO prompt_app;
GRANT SELECT, INSERT, UPDATE ON rebuild TO prompt_app;

-- Versions beside the live one that the former release left; it served none of them.
DO $do$
BEGIN
  PERFORM drop_projection_version_v1(v.name, v.version)
    FROM projection_version v JOIN projection p USING (name) WHERE v.version <> p.live_version;
END $do$;

-- Older builds look for the served version where it is no more.
UPDATE schema_support SET oldest_build = 8;
