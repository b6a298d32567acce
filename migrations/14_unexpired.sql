-- append_events_v3: the only writer of the log; as append_events_v2 (which see), and the op that opens a row may demand that its
-- time is not over, by the server's clock; a row that somebody else holds ends the call with 55P03:
--   o  { op: open, …, unexpired? }  unexpired: else it is a conflict of the outbox
CREATE FUNCTION append_events_v3(p_appends jsonb)
RETURNS TABLE (ord integer, status text, reason text, stream_id uuid, version integer, "position" bigint,
               recorded_at timestamptz, stored_type text, stored_metadata jsonb)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off   -- plans are kept from the time when the tables are empty; a sequential scan must not be
AS $$
#variable_conflict use_column
DECLARE
  base bigint;
  at   timestamptz;      -- of the events: never before that of the one before them
  present timestamptz;   -- what is due, over or alive: a clock that was ahead for a while holds up nothing
BEGIN
  PERFORM pg_advisory_xact_lock(7301);

  -- Rows to change are locked in id order before the snapshot below, so that guards judge what they change. Whoever holds
  -- one of them for long (55P03) must not hold up everybody behind the lock above.
  PERFORM set_config('lock_timeout', '50', true);
  PERFORM 1 FROM outbox x
   WHERE x.prompt_id IN (SELECT (a ->> 's')::uuid FROM jsonb_array_elements(p_appends) a
                          WHERE a -> 'o' ->> 'op' IN ('claim', 'reschedule', 'close', 'drop'))
   ORDER BY x.prompt_id FOR UPDATE;

  present := date_trunc('milliseconds', clock_timestamp());
  SELECT h.position, greatest(h.recorded_at, present) INTO base, at FROM log_head h;

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
        WHEN i.op = 'open' AND x.prompt_id IS NULL
             AND NOT (i.o ? 'unexpired' AND coalesce((i.o ->> 'expires')::timestamptz <= present, false)) THEN 'accepted'
        WHEN i.op = 'claim' AND x.dispatch = (i.o ->> 'dispatch')::bigint AND x.state = 'open' AND x.token IS NULL
             AND x.due_at <= present AND (x.expires_at IS NULL OR x.expires_at > present) THEN 'accepted'
        WHEN i.op IN ('reschedule', 'close', 'drop') AND x.prompt_id IS NOT NULL
             AND (NOT i.o ? 'token' OR x.token = (i.o ->> 'token')::uuid)
             AND (NOT i.o ? 'dead' OR lease_is_dead(x, present))
             AND (NOT i.o ? 'expired' OR (x.token IS NULL AND x.expires_at <= present)) THEN 'accepted'
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
           coalesce((j.o ->> 'due')::timestamptz, present), (j.o ->> 'expires')::timestamptz, j.o ->> 'trace',
           coalesce((j.o ->> 'attempt')::integer, 0), present
      FROM judged j WHERE j.verdict = 'accepted' AND j.op = 'open'
  ), claimed AS (
    UPDATE outbox b
       SET token = (j.o ->> 'token')::uuid, worker = j.o ->> 'worker', attempt = (j.o ->> 'attempt')::integer,
           lease_seconds = (j.o ->> 'lease')::real,
           lease_until = present + make_interval(secs => (j.o ->> 'lease')::float8),
           hold_until = present + make_interval(secs => (j.o ->> 'hold')::float8)
      FROM judged j WHERE j.verdict = 'accepted' AND j.op = 'claim' AND b.prompt_id = j.stream_id
  ), rescheduled AS (
    UPDATE outbox b
       SET token = NULL, worker = NULL, lease_until = NULL, hold_until = NULL, lease_seconds = NULL, dispatch = NULL,
           dispatched_at = NULL, due_at = present + make_interval(secs => (j.o ->> 'after')::float8)
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

REVOKE ALL ON FUNCTION append_events_v3(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION append_events_v3(jsonb) TO prompt_app;
