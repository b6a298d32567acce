-- Retention: the beginning of the log may leave its table for files (an archive).
--
-- The floor is the position up to which that has happened. Above it the table is gapless. At or below it lie only streams
-- that may still change, each of them whole: what reads by stream reads all of a stream or nothing, and what reads by
-- position begins at the floor.

ALTER TABLE log_head
  -- of the event at the floor; null as long as nothing is archived. An archive of another log has another one there.
  ADD COLUMN floor_event_id    uuid,
  ADD COLUMN floor_recorded_at timestamptz,
  -- of the first event; null as long as nothing is archived
  ADD COLUMN began_at          timestamptz;

-- One row per stream that has left the table: it exists, it is whose it was, and its Idempotency-Key stays used.
CREATE TABLE archived_stream (
  stream_id   uuid        NOT NULL PRIMARY KEY,
  version     integer     NOT NULL,          -- of its last event
  user_id     text        NOT NULL,
  status      text        NOT NULL,          -- PromptStatus of contracts/prompt/state.ts, for good
  -- of its first event, as a repetition of the ask is answered
  event_id    uuid        NOT NULL,
  position    bigint      NOT NULL,
  recorded_at timestamptz NOT NULL,
  metadata    jsonb       NOT NULL,
  CONSTRAINT archived_stream_event_id_key UNIQUE (event_id)
);
GRANT SELECT ON archived_stream TO prompt_app;

-- An event is deleted only below the floor, and only when its stream is noted as archived; anything else is a slip.
CREATE FUNCTION refuse_unarchived_delete() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM gone g
              WHERE g.position > (SELECT h.floor FROM log_head h)
                 OR NOT EXISTS (SELECT FROM archived_stream a WHERE a.stream_id = g.stream_id)) THEN
    RAISE EXCEPTION 'the event log is append-only: % of what is not archived is refused', TG_OP
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NULL;
END $$;
DROP TRIGGER event_is_append_only ON event;
CREATE TRIGGER event_is_append_only BEFORE UPDATE OR TRUNCATE ON event
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_event_change();
CREATE TRIGGER event_is_archived_first AFTER DELETE ON event REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_unarchived_delete();

-- raise_floor_v1: what lies at or below a position is in an archive from now on, and may leave the table.
-- in:  p_position, p_event_id of the event there: the archive's word, checked against the log's
-- out: the floor, which never sinks
-- Refused (55000) while a read model that is kept up to date, or the ledger, has not had these events, or one is not whole:
-- it could not be finished from the table. Not for the services. From the first archive on no release before this one may
-- run: writers that do not know of archived_stream are taken from it.
CREATE FUNCTION raise_floor_v1(p_position bigint, p_event_id uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  h  log_head;
  at timestamptz;
  v  record;
  writer regprocedure;
BEGIN
  SELECT * INTO h FROM log_head FOR UPDATE;
  IF p_position <= h.floor THEN RETURN h.floor; END IF;
  SELECT e.recorded_at INTO at FROM event e WHERE e.position = p_position AND e.event_id = p_event_id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the log has no event % at position %', p_event_id, p_position
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  SELECT x.name, x.version, c.position INTO v
    FROM projection_version x JOIN cursor c ON c.name = x.name AND c.version = x.version AND c.lane = 0
   WHERE x.status = 'building' OR (NOT x.frozen AND c.position < p_position)
   ORDER BY c.position LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'version % of % stands at position %, before %', v.version, v.name, v.position, p_position
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF (SELECT l.position FROM ledger_head l) < p_position THEN
    RAISE EXCEPTION 'the ledger is not posted up to position %', p_position
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  UPDATE log_head
     SET floor = p_position, floor_event_id = p_event_id, floor_recorded_at = at,
         began_at = coalesce(began_at, (SELECT e.recorded_at FROM event e WHERE e.position = 1));
  UPDATE schema_support SET oldest_build = greatest(oldest_build, 13);
  FOR writer IN SELECT p.oid FROM pg_proc p
                 WHERE p.pronamespace = 'public'::regnamespace AND p.proname ~ '^append_events_v\d+$'
                   AND p.prosrc NOT LIKE '%archived_stream%' LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM prompt_app', writer);
  END LOOP;
  RETURN p_position;
END $$;

-- archive_streams_v1: streams leave the table, noted in archived_stream.
-- in:  p_streams, an array of { s: stream id, v: version of its last event, t: its status }
--      That nothing can change them any more was decided by who calls (contracts/prompt/closed.ts).
-- out: how many streams and events have left
-- A stream stays when it is not as it was decided on, reaches beyond the floor, has a row in the outbox or is set aside by a
-- projection. The lock is that of appends: what is judged here is not appended to meanwhile. Calls are to be small.
CREATE FUNCTION archive_streams_v1(p_streams jsonb) RETURNS TABLE (streams integer, events integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7301);
  WITH leaving AS MATERIALIZED (
    SELECT (x ->> 's')::uuid AS stream_id, (x ->> 'v')::integer AS version, x ->> 't' AS status
      FROM jsonb_array_elements(p_streams) x
  )
  INSERT INTO archived_stream (stream_id, version, user_id, status, event_id, position, recorded_at, metadata)
  SELECT l.stream_id, l.version, f.data ->> 'userId', l.status, f.event_id, f.position, f.recorded_at, f.metadata
    FROM leaving l
   CROSS JOIN LATERAL (SELECT * FROM event e WHERE e.stream_id = l.stream_id AND e.version = 1) f
   CROSS JOIN LATERAL (SELECT e.version, e.position FROM event e WHERE e.stream_id = l.stream_id
                        ORDER BY e.version DESC LIMIT 1) z
   WHERE z.version = l.version AND z.position <= (SELECT h.floor FROM log_head h)
     AND NOT EXISTS (SELECT FROM outbox o WHERE o.prompt_id = l.stream_id)
     AND NOT EXISTS (SELECT FROM parked_stream p WHERE p.stream_id = l.stream_id);
  GET DIAGNOSTICS streams = ROW_COUNT;
  DELETE FROM event e USING jsonb_array_elements(p_streams) x, archived_stream a
   WHERE a.stream_id = (x ->> 's')::uuid AND e.stream_id = a.stream_id;
  GET DIAGNOSTICS events = ROW_COUNT;
  RETURN NEXT;
END $$;
REVOKE ALL ON FUNCTION raise_floor_v1(bigint, uuid), archive_streams_v1(jsonb) FROM PUBLIC;

-- position_at_v2: the last position recorded at or before a time; null before the first event, and where that is not known
-- any more because what lies there is archived.
-- recorded_at never goes backwards along position: some 25 look-ups by key in tens of millions of events, and no index.
CREATE FUNCTION position_at_v2(p_time timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE AS $fn$
DECLARE
  h      log_head;
  low    bigint;
  high   bigint;
  middle bigint;
  at     timestamptz;
BEGIN
  SELECT * INTO h FROM log_head;
  low := h.floor;
  high := h.position;
  WHILE low < high LOOP
    middle := (low + high + 1) / 2;
    SELECT recorded_at INTO at FROM event WHERE position = middle;
    IF at <= p_time THEN low := middle; ELSE high := middle - 1; END IF;
  END LOOP;
  IF low > h.floor OR h.floor_recorded_at <= p_time THEN RETURN low; END IF;
  RETURN NULL;
END $fn$;

-- append_events_v2: the only writer of the log; as append_events_v1 (which see), and it knows streams that have left it: an
-- append that repeats the ask of one is a duplicate, any other append to one a conflict of versions.
CREATE FUNCTION append_events_v2(p_appends jsonb)
RETURNS TABLE (ord integer, status text, reason text, stream_id uuid, version integer, "position" bigint,
               recorded_at timestamptz, stored_type text, stored_metadata jsonb)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off   -- plans are kept from the time when the tables are empty; a sequential scan must not be
AS $$
#variable_conflict use_column
DECLARE
  base bigint;
  at   timestamptz;
BEGIN
  PERFORM pg_advisory_xact_lock(7301);

  -- Rows to change are locked in id order before the snapshot below, so that guards judge what they change.
  PERFORM 1 FROM outbox x
   WHERE x.prompt_id IN (SELECT (a ->> 's')::uuid FROM jsonb_array_elements(p_appends) a
                          WHERE a -> 'o' ->> 'op' IN ('claim', 'reschedule', 'close', 'drop'))
   ORDER BY x.prompt_id FOR UPDATE;

  SELECT h.position, greatest(h.recorded_at, date_trunc('milliseconds', clock_timestamp()))
    INTO base, at FROM log_head h;

  RETURN QUERY
  WITH input AS MATERIALIZED (
    SELECT t.n::integer AS ord, (t.a ->> 's')::uuid AS stream_id, (t.a ->> 'v')::integer AS expected,
           t.a -> 'e' AS events, nullif(t.a -> 'o', 'null'::jsonb) AS o, t.a -> 'o' ->> 'op' AS op,
           row_number() OVER (PARTITION BY t.a ->> 's' ORDER BY t.n) AS nth
      FROM jsonb_array_elements(p_appends) WITH ORDINALITY t(a, n)
  ), proposed AS MATERIALIZED (
    SELECT i.ord, i.stream_id, e.k::integer AS k, (e.x ->> 'i')::uuid AS event_id, e.x ->> 't' AS type,
           (e.x ->> 'n')::smallint AS schema_version, e.x -> 'd' AS data, e.x -> 'm' AS metadata,
           first_value(i.ord) OVER (PARTITION BY e.x ->> 'i' ORDER BY i.ord) AS first_ord
      FROM input i, jsonb_array_elements(i.events) WITH ORDINALITY e(x, k)
  ), stored AS MATERIALIZED (
    SELECT DISTINCT ON (p.ord) p.ord, s.stream_id, s.version, s.position, s.recorded_at, s.type, s.metadata
      FROM proposed p CROSS JOIN LATERAL (
        (SELECT v.stream_id, v.version, v.position, v.recorded_at, v.type, v.metadata
           FROM event v WHERE v.event_id = p.event_id LIMIT 1)
        UNION ALL
        (SELECT a.stream_id, 1, a.position, a.recorded_at, p.type, a.metadata
           FROM archived_stream a WHERE p.type = 'PromptSubmitted' AND a.event_id = p.event_id LIMIT 1)) s
     ORDER BY p.ord, p.k
  ), repeated AS (
    SELECT p.ord, min(p.first_ord) AS first_ord FROM proposed p WHERE p.first_ord < p.ord GROUP BY p.ord
  ), judged AS MATERIALIZED (
    SELECT i.*, coalesce(h.version, g.version, 0) AS head_version, r.first_ord,
      CASE
        WHEN d.ord IS NOT NULL THEN 'stored'
        WHEN r.ord IS NOT NULL THEN 'repeated'
        WHEN i.nth > 1 THEN 'call'
        WHEN g.version IS NOT NULL OR i.expected <> coalesce(h.version, 0) THEN 'version'
        WHEN i.o IS NULL THEN 'accepted'
        WHEN i.op = 'open' AND x.prompt_id IS NULL THEN 'accepted'
        WHEN i.op = 'claim' AND x.dispatch = (i.o ->> 'dispatch')::bigint AND x.state = 'open' AND x.token IS NULL
             AND x.due_at <= at AND (x.expires_at IS NULL OR x.expires_at > at) THEN 'accepted'
        WHEN i.op IN ('reschedule', 'close', 'drop') AND x.prompt_id IS NOT NULL
             AND (NOT i.o ? 'token' OR x.token = (i.o ->> 'token')::uuid)
             AND (NOT i.o ? 'dead' OR lease_is_dead(x, at))
             AND (NOT i.o ? 'expired' OR (x.token IS NULL AND x.expires_at <= at)) THEN 'accepted'
        ELSE 'outbox'
      END AS verdict
      FROM input i
      LEFT JOIN stored d ON d.ord = i.ord
      LEFT JOIN repeated r ON r.ord = i.ord
      LEFT JOIN LATERAL (SELECT v.version FROM event v WHERE v.stream_id = i.stream_id
                          ORDER BY v.version DESC LIMIT 1) h ON true
      LEFT JOIN LATERAL (SELECT a.version FROM archived_stream a WHERE h.version IS NULL AND a.stream_id = i.stream_id
                          LIMIT 1) g ON true
      LEFT JOIN LATERAL (SELECT * FROM outbox b WHERE b.prompt_id = i.stream_id LIMIT 1) x ON i.o IS NOT NULL
  ), inserted AS (
    INSERT INTO event (position, stream_id, version, event_id, type, schema_version, data, metadata, recorded_at)
    SELECT base + row_number() OVER (ORDER BY p.ord, p.k), p.stream_id, j.head_version + p.k, p.event_id, p.type,
           p.schema_version, p.data, p.metadata, at
      FROM proposed p JOIN judged j ON j.ord = p.ord AND j.verdict = 'accepted'
     ORDER BY p.ord, p.k
    RETURNING stream_id, version, position, type, metadata
  ), last AS MATERIALIZED (
    SELECT DISTINCT ON (w.stream_id) w.stream_id, w.version, w.position, w.type, w.metadata
      FROM inserted w ORDER BY w.stream_id, w.version DESC
  ), head AS (
    UPDATE log_head SET position = base + (SELECT count(*) FROM inserted), recorded_at = at
     WHERE EXISTS (SELECT 1 FROM inserted)
  ), opened AS (
    INSERT INTO outbox (prompt_id, user_id, model, lane, due_at, expires_at, traceparent, attempt, opened_at)
    SELECT j.stream_id, j.o ->> 'user', j.o ->> 'model', (j.o ->> 'lane')::smallint,
           coalesce((j.o ->> 'due')::timestamptz, at), (j.o ->> 'expires')::timestamptz, j.o ->> 'trace',
           coalesce((j.o ->> 'attempt')::integer, 0), at
      FROM judged j WHERE j.verdict = 'accepted' AND j.op = 'open'
  ), claimed AS (
    UPDATE outbox b
       SET token = (j.o ->> 'token')::uuid, worker = j.o ->> 'worker', attempt = (j.o ->> 'attempt')::integer,
           lease_seconds = (j.o ->> 'lease')::real,
           lease_until = at + make_interval(secs => (j.o ->> 'lease')::float8),
           hold_until = at + make_interval(secs => (j.o ->> 'hold')::float8)
      FROM judged j WHERE j.verdict = 'accepted' AND j.op = 'claim' AND b.prompt_id = j.stream_id
  ), rescheduled AS (
    UPDATE outbox b
       SET token = NULL, worker = NULL, lease_until = NULL, hold_until = NULL, lease_seconds = NULL, dispatch = NULL,
           dispatched_at = NULL, due_at = at + make_interval(secs => (j.o ->> 'after')::float8)
      FROM judged j WHERE j.verdict = 'accepted' AND j.op = 'reschedule' AND b.prompt_id = j.stream_id
  ), closed AS (
    UPDATE outbox b SET state = 'closing'
      FROM judged j WHERE j.verdict = 'accepted' AND j.op = 'close' AND b.prompt_id = j.stream_id
  ), dropped AS (
    DELETE FROM outbox b USING judged j
     WHERE j.verdict = 'accepted' AND j.op = 'drop' AND b.prompt_id = j.stream_id
  )
  SELECT j.ord,
         CASE j.verdict WHEN 'accepted' THEN 'appended' WHEN 'stored' THEN 'duplicate'
              WHEN 'repeated' THEN CASE WHEN f.verdict = 'accepted' THEN 'duplicate' ELSE 'conflict' END
              ELSE 'conflict' END,
         CASE WHEN j.verdict IN ('call', 'version', 'outbox') THEN j.verdict
              WHEN j.verdict = 'repeated' AND f.verdict <> 'accepted' THEN 'call' END,
         coalesce(d.stream_id, l.stream_id, j.stream_id), coalesce(d.version, l.version, j.head_version),
         coalesce(d.position, l.position), coalesce(d.recorded_at, at),
         coalesce(d.type, l.type), coalesce(d.metadata, l.metadata)
    FROM judged j
    LEFT JOIN stored d ON d.ord = j.ord
    LEFT JOIN judged f ON f.ord = j.first_ord
    LEFT JOIN last l ON l.stream_id = CASE j.verdict WHEN 'accepted' THEN j.stream_id
                                                     WHEN 'repeated' THEN f.stream_id END
   ORDER BY j.ord;
END $$;

REVOKE ALL ON FUNCTION append_events_v2(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION append_events_v2(jsonb) TO prompt_app;
