-- The ledger: one entry for each attempt, reserved when it is dispatched and settled once, posted from the log by SQL alone.
-- It shares no code with the read models, so that sums which agree with it prove something. Services read it; only
-- post_ledger_v1 writes.

-- ledger_state_v1: of an entry. reserved: the attempt runs, at most its bound. unknown: ended, at most its bound.
-- confirmed: what its prompt's answer cost. wasted: paid without giving the answer. void: ended and cost nothing.
CREATE FUNCTION ledger_state_v1(p_settled bigint, p_answered boolean, p_nano_usd bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN p_settled IS NULL THEN 'reserved' WHEN p_nano_usd IS NULL THEN 'unknown' WHEN p_answered THEN 'confirmed'
              WHEN p_nano_usd = 0 THEN 'void' ELSE 'wasted' END
$$;

CREATE TABLE ledger_entry (
  prompt_id          uuid        NOT NULL,
  attempt            integer     NOT NULL CHECK (attempt > 0),
  user_id            text        NOT NULL,
  model              text        NOT NULL,
  answered           boolean     NOT NULL,
  emulated           boolean     NOT NULL,     -- then its cost is notional: nobody is charged
  nano_usd           bigint      CHECK (nano_usd >= 0),
  bound_nano_usd     bigint      CHECK (bound_nano_usd >= 0),   -- the most it can cost, while that is not known
  price_version      text,
  corrected          boolean     NOT NULL,     -- by hand, after it was settled
  reserved_position  bigint      NOT NULL,
  reserved_at        timestamptz NOT NULL,
  settled_position   bigint,                   -- of the last event that settled or corrected it
  settled_at         timestamptz,
  state              text        NOT NULL GENERATED ALWAYS AS (ledger_state_v1(settled_position, answered, nano_usd)) STORED,
  PRIMARY KEY (prompt_id, attempt)
) WITH (fillfactor = 80);
-- a page of entries, of one user and of all
CREATE UNIQUE INDEX ledger_entry_position_idx ON ledger_entry (reserved_position);
CREATE INDEX ledger_entry_user_idx ON ledger_entry (user_id, reserved_position);

-- ledger_account: what its entries add up to, of each user and model.
CREATE TABLE ledger_account (
  user_id                text   NOT NULL,
  model                  text   NOT NULL,
  prompts                bigint NOT NULL,
  reserved_nano_usd      bigint NOT NULL,      -- bounds of attempts that run
  confirmed_nano_usd     bigint NOT NULL,
  wasted_nano_usd        bigint NOT NULL,
  unknown_bound_nano_usd bigint NOT NULL,
  PRIMARY KEY (user_id, model)
) WITH (fillfactor = 70);

-- ledger_head: up to where events are posted.
CREATE TABLE ledger_head (
  singleton boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (singleton),
  position  bigint  NOT NULL
);
INSERT INTO ledger_head (position) VALUES (0);

-- post_ledger_v1: posts the events after those posted, up to a position.
-- in:  p_to; out: up to where it is posted now. An error (data_corrupted) when the log has a hole there.
-- The first cost that is told of an attempt counts, and a correction over all of them; how it ended is told by the last.
CREATE FUNCTION post_ledger_v1(p_to bigint) RETURNS bigint
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
           data ->> 'priceVersion' AS price_version, coalesce((data ->> 'emulated')::boolean, false) AS emulated
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
           bool_or(emulated) AS emulated
      FROM news GROUP BY prompt_id, attempt
  ), before AS MATERIALIZED (
    SELECT e.* FROM told t JOIN ledger_entry e USING (prompt_id, attempt)
  ), posted AS MATERIALIZED (
    SELECT t.prompt_id, t.attempt, t.user_id, t.model,
           coalesce(t.answered, b.answered, false) AS answered, t.emulated OR coalesce(b.emulated, false) AS emulated,
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
           bound_nano_usd FROM posted
    UNION ALL SELECT user_id, model, 0, -1, state, nano_usd, bound_nano_usd FROM before
    UNION ALL SELECT data ->> 'userId', data ->> 'model', 1, 0, NULL, NULL, NULL
      FROM event WHERE position > start AND position <= p_to AND type = 'PromptSubmitted'
  )
  INSERT INTO ledger_account AS a
  SELECT user_id, model, sum(prompts),
         coalesce(sum(sign * bound_nano_usd) FILTER (WHERE state = 'reserved'), 0),
         coalesce(sum(sign * nano_usd) FILTER (WHERE state = 'confirmed'), 0),
         coalesce(sum(sign * nano_usd) FILTER (WHERE state = 'wasted'), 0),
         coalesce(sum(sign * bound_nano_usd) FILTER (WHERE state = 'unknown'), 0)
    FROM moved GROUP BY user_id, model ORDER BY user_id, model
  ON CONFLICT (user_id, model) DO UPDATE
     SET prompts = a.prompts + EXCLUDED.prompts, reserved_nano_usd = a.reserved_nano_usd + EXCLUDED.reserved_nano_usd,
         confirmed_nano_usd = a.confirmed_nano_usd + EXCLUDED.confirmed_nano_usd,
         wasted_nano_usd = a.wasted_nano_usd + EXCLUDED.wasted_nano_usd,
         unknown_bound_nano_usd = a.unknown_bound_nano_usd + EXCLUDED.unknown_bound_nano_usd;
  UPDATE ledger_head SET position = p_to;
  RETURN p_to;
END $fn$;

-- reset_ledger_v1: empties it, to be posted anew from the log. An error when the log does not begin at its beginning.
CREATE FUNCTION reset_ledger_v1() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  PERFORM 1 FROM ledger_head FOR UPDATE;
  IF (SELECT floor FROM log_head) > 0 THEN
    RAISE EXCEPTION 'the log begins at %: its ledger cannot be posted anew', (SELECT floor FROM log_head);
  END IF;
  TRUNCATE ledger_entry, ledger_account;
  UPDATE ledger_head SET position = 0;
END $fn$;

REVOKE ALL ON FUNCTION post_ledger_v1(bigint), reset_ledger_v1() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION post_ledger_v1(bigint), reset_ledger_v1() TO prompt_app;
GRANT SELECT ON ledger_entry, ledger_account, ledger_head TO prompt_app;
