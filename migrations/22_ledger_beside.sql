-- The ledger made anew beside the one that is served: posted from the log into tables of its own, compared with it at one
-- position, and what differs put right in one transaction. Who reads, in whatever transaction, has the ledger as it was or as it
-- is then: no table is emptied, renamed or locked against reads.
-- Tables that are there only now and then are named with their schema: else a session's own would stand in for them.

-- post_ledger_v3: posts the events after those posted, up to a position.
-- in:  p_to; p_next: into the ledger that is made beside (begin_ledger_next_v1), where events up to the floor of the log are
--      those of ledger_event_next, and no more than these are posted in one go
-- out: up to where it is posted now. An error (data_corrupted) when the log has a hole there.
-- The first cost that is told of an attempt counts, with who it was, and a correction over all of them; how it ended is told
-- by the last.
CREATE FUNCTION post_ledger_v3(p_to bigint, p_next boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
-- Planned for tables that may have no statistics: each entry is looked up by its key.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $fn$
DECLARE
  beside  text := CASE WHEN p_next THEN '_next' ELSE '' END;
  source  text := 'event';
  began   bigint;
  til     bigint := p_to;
  lowest  bigint;
  found   bigint;
BEGIN
  EXECUTE format('SELECT position FROM public.ledger_head%s FOR UPDATE', beside) INTO STRICT began;
  IF til <= began THEN RETURN began; END IF;
  SELECT floor INTO lowest FROM log_head;
  IF p_next AND began < lowest THEN
    source := 'public.ledger_event_next';
    til := least(til, lowest);
  END IF;
  EXECUTE format('SELECT count(*) FROM %s WHERE position > $1 AND position <= $2', source) INTO found USING began, til;
  IF found <> til - began THEN
    RAISE EXCEPTION 'the log has % of % events between % and %', found, til - began, began, til USING ERRCODE = 'data_corrupted';
  END IF;
  EXECUTE format($sql$
    WITH news AS MATERIALIZED (
      SELECT stream_id AS prompt_id, (data ->> 'attempt')::integer AS attempt, position, recorded_at,
             data ->> 'userId' AS user_id, data ->> 'model' AS model, type,
             CASE type WHEN 'AttemptStarted' THEN 'start' WHEN 'AttemptCostCorrected' THEN 'correction' ELSE 'end' END AS kind,
             (data ->> 'nanoUsd')::bigint AS nano_usd, (data ->> 'boundNanoUsd')::bigint AS bound_nano_usd,
             data ->> 'priceVersion' AS price_version, coalesce((data ->> 'emulated')::boolean, false) AS emulated,
             bool_or(data -> 'nanoUsd' <> 'null') OVER (PARTITION BY stream_id, data ->> 'attempt' ORDER BY position
                                                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) IS TRUE AS known_before
        FROM %2$s
       WHERE position > $1 AND position <= $2
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
             (array_agg(price_version ORDER BY position DESC) FILTER (WHERE rates))[1] AS price_version, bool_or(rates) AS rated,
             (array_agg(emulated ORDER BY position DESC) FILTER (WHERE kind = 'end' AND NOT known_before))[1] AS emulated
        FROM (SELECT *, kind = 'start' OR (kind = 'end' AND NOT known_before) AS rates FROM news) n GROUP BY prompt_id, attempt
    ), before AS MATERIALIZED (
      SELECT e.* FROM told t JOIN public.ledger_entry%1$s e USING (prompt_id, attempt)
    ), posted AS MATERIALIZED (
      SELECT t.prompt_id, t.attempt, t.user_id, t.model,
             coalesce(t.answered, b.answered, false) AS answered,
             CASE WHEN b.nano_usd IS NULL THEN coalesce(t.emulated, b.emulated, false) ELSE b.emulated END AS emulated,
             coalesce(t.corrected_nano_usd, b.nano_usd, t.first_nano_usd) AS nano_usd,
             CASE WHEN t.ended OR b.prompt_id IS NULL THEN t.bound_nano_usd ELSE b.bound_nano_usd END AS bound_nano_usd,
             CASE WHEN b.nano_usd IS NULL AND t.rated THEN t.price_version ELSE b.price_version END AS price_version,
             t.corrected_nano_usd IS NOT NULL OR coalesce(b.corrected, false) AS corrected,
             coalesce(b.reserved_position, t.reserved_position) AS reserved_position,
             coalesce(b.reserved_at, t.reserved_at) AS reserved_at,
             coalesce(t.settled_position, b.settled_position) AS settled_position,
             coalesce(t.settled_at, b.settled_at) AS settled_at
        FROM told t LEFT JOIN public.ledger_entry%1$s b USING (prompt_id, attempt)
       -- An end without a start is no entry; the sums of its user then differ, which is told.
       WHERE coalesce(b.reserved_position, t.reserved_position) IS NOT NULL
    ), written AS (
      INSERT INTO public.ledger_entry%1$s AS e (prompt_id, attempt, user_id, model, answered, emulated, nano_usd, bound_nano_usd,
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
        FROM %2$s WHERE position > $1 AND position <= $2 AND type = 'PromptSubmitted'
    )
    INSERT INTO public.ledger_account%1$s AS a (user_id, model, prompts, reserved_nano_usd, confirmed_nano_usd, wasted_nano_usd,
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
           notional_unknown_bound_nano_usd = a.notional_unknown_bound_nano_usd + EXCLUDED.notional_unknown_bound_nano_usd
  $sql$, beside, source) USING began, til;
  EXECUTE format('UPDATE public.ledger_head%s SET position = $1', beside) USING til;
  RETURN til;
END $fn$;

-- Who posted by these is of a release that cannot read the tables any more; and nobody empties what is served.
DROP FUNCTION post_ledger_v1(bigint), post_ledger_v2(bigint), reset_ledger_v1();

-- drop_ledger_next_v1: what was made beside goes.
CREATE FUNCTION drop_ledger_next_v1() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
  DROP TABLE IF EXISTS public.ledger_entry_next, public.ledger_account_next, public.ledger_head_next, public.ledger_entry_difference,
    public.ledger_account_difference, public.ledger_event_next
$fn$;

-- begin_ledger_next_v1: tables for a ledger beside the one that is served; what another process has left in them is taken up.
-- in:  p_anew: nothing is taken up
-- out: up to where it is posted; 0: from the beginning
-- Of these tables nothing is in the server's journal: they are never served, and a crash of the server empties all of them.
-- What was posted by other rules, or further than what is served, is not taken up.
CREATE FUNCTION begin_ledger_next_v1(p_anew boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
DECLARE
  current text := (SELECT md5(prosrc) FROM pg_proc WHERE oid = 'post_ledger_v3(bigint, boolean)'::regprocedure);
  posted  bigint;
BEGIN
  IF NOT p_anew AND to_regclass('public.ledger_head_next') IS NOT NULL THEN
    SELECT n.position INTO posted FROM public.ledger_head_next n, ledger_head l WHERE n.rules = current AND n.position <= l.position;
    IF FOUND THEN RETURN posted; END IF;
  END IF;
  PERFORM drop_ledger_next_v1();
  CREATE UNLOGGED TABLE public.ledger_entry_next (
    LIKE ledger_entry INCLUDING CONSTRAINTS INCLUDING GENERATED, PRIMARY KEY (prompt_id, attempt)) WITH (fillfactor = 90);
  CREATE UNIQUE INDEX ledger_entry_next_position_idx ON public.ledger_entry_next (reserved_position);
  CREATE UNLOGGED TABLE public.ledger_account_next (
    LIKE ledger_account INCLUDING CONSTRAINTS, PRIMARY KEY (user_id, model)) WITH (fillfactor = 70);
  CREATE UNLOGGED TABLE public.ledger_head_next (position bigint NOT NULL, rules text NOT NULL);
  INSERT INTO public.ledger_head_next VALUES (0, current);
  -- What is not equal on both sides.
  CREATE UNLOGGED TABLE public.ledger_entry_difference (prompt_id uuid, attempt integer, PRIMARY KEY (prompt_id, attempt));
  CREATE UNLOGGED TABLE public.ledger_account_difference (user_id text, model text, PRIMARY KEY (user_id, model));
  -- Events from an archive. Whoever writes them here writes the ledger, so the services may not.
  CREATE UNLOGGED TABLE public.ledger_event_next (
    position bigint PRIMARY KEY, stream_id uuid NOT NULL, type text NOT NULL, data jsonb NOT NULL, recorded_at timestamptz NOT NULL);
  GRANT SELECT ON public.ledger_entry_next, public.ledger_account_next, public.ledger_head_next, public.ledger_entry_difference,
    public.ledger_account_difference TO prompt_app;
  RETURN 0;
END $fn$;

-- compare_ledger_next_v1: notes entries that are not the same on both sides, which stand at one position.
-- in:  p_after, p_to: positions of reservation, exclusive and inclusive; null: open. What was noted is forgotten with the first
--      page, which is open below.
CREATE FUNCTION compare_ledger_next_v1(p_after bigint, p_to bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off AS $fn$
DECLARE
  first bigint := coalesce(p_after, -9223372036854775808);
  last  bigint := coalesce(p_to, 9223372036854775807);
BEGIN
  IF p_after IS NULL THEN DELETE FROM public.ledger_entry_difference; END IF;
  -- One that was reserved at another position is met on either page.
  INSERT INTO public.ledger_entry_difference
    SELECT coalesce(e.prompt_id, n.prompt_id), coalesce(e.attempt, n.attempt)
      FROM (SELECT * FROM ledger_entry WHERE reserved_position > first AND reserved_position <= last) e
      FULL JOIN (SELECT * FROM public.ledger_entry_next WHERE reserved_position > first AND reserved_position <= last) n
        ON n.prompt_id = e.prompt_id AND n.attempt = e.attempt
     WHERE e IS DISTINCT FROM n
    ON CONFLICT DO NOTHING;
END $fn$;

-- compare_ledger_accounts_next_v1: the same of all accounts.
CREATE FUNCTION compare_ledger_accounts_next_v1() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
BEGIN
  DELETE FROM public.ledger_account_difference;
  INSERT INTO public.ledger_account_difference
    SELECT coalesce(a.user_id, n.user_id), coalesce(a.model, n.model)
      FROM (SELECT * FROM ledger_account) a
      FULL JOIN (SELECT * FROM public.ledger_account_next) n ON n.user_id = a.user_id AND n.model = a.model
     WHERE a IS DISTINCT FROM n;
END $fn$;

-- serve_ledger_next_v1: from now on what is served is what was made beside.
-- out: the position of both
-- Only what differs is written. Entries were compared at an earlier position, and no more than those noted can differ now:
-- posting takes an entry that is equal on both sides to one that is.
CREATE FUNCTION serve_ledger_next_v1() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $fn$
DECLARE
  served bigint;
BEGIN
  -- Written, not only locked: who posts by a snapshot of before must not go on from what stood there.
  UPDATE ledger_head SET position = position RETURNING position INTO STRICT served;
  IF post_ledger_v3(served, true) <> served THEN
    RAISE EXCEPTION 'the ledger that was made beside does not stand at position %', served
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  -- All of them go first: a position that was wrong may be another entry's.
  DELETE FROM ledger_entry e USING public.ledger_entry_difference d WHERE e.prompt_id = d.prompt_id AND e.attempt = d.attempt;
  INSERT INTO ledger_entry (prompt_id, attempt, user_id, model, answered, emulated, nano_usd, bound_nano_usd, price_version,
                            corrected, reserved_position, reserved_at, settled_position, settled_at)
    SELECT prompt_id, attempt, user_id, model, answered, emulated, nano_usd, bound_nano_usd, price_version, corrected,
           reserved_position, reserved_at, settled_position, settled_at
      FROM public.ledger_entry_difference d JOIN public.ledger_entry_next n USING (prompt_id, attempt) ORDER BY reserved_position;
  PERFORM compare_ledger_accounts_next_v1();
  DELETE FROM ledger_account a USING public.ledger_account_difference d WHERE a.user_id = d.user_id AND a.model = d.model;
  INSERT INTO ledger_account SELECT n.* FROM public.ledger_account_difference d JOIN public.ledger_account_next n USING (user_id, model);
  RETURN served;
END $fn$;

-- reserved_position_at_v1: a position at or before which every entry was reserved by a time, and after which none was: also where the
-- events have left the log. As position_at_v2 finds one: reserved_at never goes backwards along reserved_position.
CREATE FUNCTION reserved_position_at_v1(p_time timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET enable_seqscan = off AS $fn$
DECLARE
  low    bigint := 0;
  high   bigint;
  middle bigint;
  found  record;
BEGIN
  SELECT coalesce(max(reserved_position), 0) INTO high FROM ledger_entry;
  WHILE low < high LOOP
    middle := (low + high + 1) / 2;
    SELECT reserved_position AS position, reserved_at AS at INTO found
      FROM ledger_entry WHERE reserved_position <= middle ORDER BY reserved_position DESC LIMIT 1;
    IF found.at > p_time THEN high := found.position - 1; ELSE low := middle; END IF;
  END LOOP;
  RETURN low;
END $fn$;

REVOKE ALL ON FUNCTION post_ledger_v3(bigint, boolean), begin_ledger_next_v1(boolean), drop_ledger_next_v1(),
  compare_ledger_next_v1(bigint, bigint), compare_ledger_accounts_next_v1(), serve_ledger_next_v1() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION post_ledger_v3(bigint, boolean), begin_ledger_next_v1(boolean), drop_ledger_next_v1(),
  compare_ledger_next_v1(bigint, bigint), compare_ledger_accounts_next_v1(), serve_ledger_next_v1() TO prompt_app;
