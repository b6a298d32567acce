-- Where projections stand, and which version of their tables is served. A projection's state and its cursor
-- commit together; the cursor moves by compare-and-set, so a second runner changes nothing.
CREATE TABLE projection_version (
  name       text        NOT NULL,
  version    integer     NOT NULL CHECK (version > 0),
  status     text        NOT NULL CHECK (status IN ('building', 'ready', 'live', 'retired')),
  -- rebuilt up to here only, or with other prices: never to be switched live
  frozen     boolean     NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (name, version)
);
CREATE UNIQUE INDEX projection_version_live_idx ON projection_version (name) WHERE status = 'live';

CREATE TABLE cursor (
  name       text        NOT NULL,
  version    integer     NOT NULL,
  lane       integer     NOT NULL DEFAULT 0,
  position   bigint      NOT NULL DEFAULT 0,
  -- recorded_at of the last event folded in
  as_of      timestamptz NOT NULL DEFAULT '-infinity',
  PRIMARY KEY (name, version, lane)
);

-- Poison events: their stream is set aside, the rest flows.
CREATE TABLE parked_stream (
  name       text        NOT NULL,
  version    integer     NOT NULL,
  stream_id  uuid        NOT NULL,
  position   bigint      NOT NULL,
  error      text        NOT NULL,
  parked_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (name, version, stream_id)
);

-- create_prompts_tables: the tables of one version of the `prompts` projection. Called here for version 1, and by a
-- rebuild for the next. All of them hold what a fold of the log gives, and nothing else: no clocks, no sequences.
CREATE FUNCTION create_prompts_tables(p_version integer) RETURNS void LANGUAGE plpgsql AS $fn$
BEGIN
  EXECUTE format($sql$
    CREATE TABLE prompt_v%1$s (
      prompt_id       uuid        NOT NULL PRIMARY KEY,
      user_id         text        NOT NULL,
      status          text        NOT NULL,
      model           text        NOT NULL,
      conversation_id uuid,
      emulated        boolean     NOT NULL,
      submitted_at    timestamptz NOT NULL,
      position        bigint      NOT NULL,
      state           jsonb       NOT NULL   -- PromptState of contracts/prompt/state.ts
    ) WITH (fillfactor = 80);
    -- newest first for one user, and for an admin
    CREATE INDEX prompt_v%1$s_user_idx ON prompt_v%1$s (user_id, submitted_at DESC, prompt_id DESC);
    CREATE INDEX prompt_v%1$s_time_idx ON prompt_v%1$s (submitted_at DESC, prompt_id DESC);
    CREATE INDEX prompt_v%1$s_conversation_idx ON prompt_v%1$s (conversation_id, submitted_at DESC)
      WHERE conversation_id IS NOT NULL;

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
    CREATE INDEX prompt_text_v%1$s_words_idx ON prompt_text_v%1$s USING gin (words);

    -- 15-minute buckets by time of submission: days fit every time zone.
    CREATE TABLE usage_v%1$s (
      bucket              timestamptz NOT NULL,
      user_id             text        NOT NULL,
      model               text        NOT NULL,
      emulated            boolean     NOT NULL,
      queued              bigint NOT NULL, running   bigint NOT NULL, retrying bigint NOT NULL,
      completed           bigint NOT NULL, failed    bigint NOT NULL, cancelled bigint NOT NULL,
      expired             bigint NOT NULL,
      input_tokens        bigint NOT NULL, cached_input_tokens bigint NOT NULL,
      output_tokens       bigint NOT NULL, thought_tokens      bigint NOT NULL,
      confirmed_nano_usd  numeric(30) NOT NULL, wasted_nano_usd numeric(30) NOT NULL,
      unknown_bound_nano_usd numeric(30) NOT NULL,
      PRIMARY KEY (bucket, user_id, model, emulated)
    ) WITH (fillfactor = 70);

    -- The same summed over all time, so that a dashboard without a range reads users × models, not buckets.
    CREATE TABLE usage_total_v%1$s (LIKE usage_v%1$s INCLUDING ALL);
    ALTER TABLE usage_total_v%1$s DROP COLUMN bucket;
    ALTER TABLE usage_total_v%1$s ADD PRIMARY KEY (user_id, model, emulated);

    -- Histograms that add up: bin n covers [1.05^n, 1.05^(n+1)) milliseconds, so percentiles are within 5 %%.
    CREATE TABLE latency_v%1$s (
      bucket   timestamptz NOT NULL,
      user_id  text        NOT NULL,
      model    text        NOT NULL,
      emulated boolean     NOT NULL,
      measure  text        NOT NULL CHECK (measure IN ('queue_wait', 'model_time', 'total')),
      bin      smallint    NOT NULL,
      n        bigint      NOT NULL,
      PRIMARY KEY (bucket, user_id, model, emulated, measure, bin)
    ) WITH (fillfactor = 70);

    GRANT SELECT, INSERT, UPDATE, DELETE ON prompt_v%1$s, prompt_text_v%1$s, usage_v%1$s, usage_total_v%1$s,
      latency_v%1$s TO prompt_app;
  $sql$, p_version);
END $fn$;

SELECT create_prompts_tables(1);
INSERT INTO projection_version (name, version, status) VALUES ('prompts', 1, 'live');
INSERT INTO cursor (name, version) VALUES ('prompts', 1);

GRANT SELECT, INSERT, UPDATE, DELETE ON projection_version, cursor, parked_stream TO prompt_app;
