-- What the relay and the heartbeats do to the outbox. None of it writes the log, so none takes the append lock.

-- stamp_ready_v1: gives ready rows of one lane and model a dispatch number, users in turn.
-- in:  p_lane, p_model, p_after (user served last), p_limit rows at most, p_per_user rows at most of one user
-- out: rows to publish, in order of their number
-- Users are found by skipping through outbox_ready_idx (one probe per user), so a backlog of one user costs
-- the others nothing, and the cost does not grow with the backlog.
CREATE FUNCTION stamp_ready_v1(p_lane smallint, p_model text, p_after text, p_limit integer, p_per_user integer)
RETURNS TABLE (dispatch bigint, prompt_id uuid, user_id text, traceparent text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE ring AS (
    (SELECT b.user_id, 1 AS nth FROM outbox b
      WHERE b.dispatch IS NULL AND b.state = 'open' AND b.lane = p_lane AND b.model = p_model AND b.user_id > p_after
      ORDER BY b.user_id LIMIT 1)
    UNION ALL
    SELECT n.user_id, r.nth + 1 FROM ring r CROSS JOIN LATERAL (
      SELECT b.user_id FROM outbox b
       WHERE b.dispatch IS NULL AND b.state = 'open' AND b.lane = p_lane AND b.model = p_model
         AND b.user_id > r.user_id ORDER BY b.user_id LIMIT 1) n
     WHERE r.nth < 100000 -- evaluated only as far as the limit below asks
  ), picked AS MATERIALIZED (
    SELECT c.prompt_id, r.nth, c.due_at FROM ring r CROSS JOIN LATERAL (
      SELECT b.prompt_id, b.due_at FROM outbox b
       WHERE b.dispatch IS NULL AND b.state = 'open' AND b.lane = p_lane AND b.model = p_model
         AND b.user_id = r.user_id AND b.due_at <= clock_timestamp()
       ORDER BY b.due_at LIMIT p_per_user FOR UPDATE SKIP LOCKED) c
     LIMIT p_limit
  ), numbered AS (
    SELECT p.prompt_id, nextval('dispatch_number') AS dispatch
      FROM (SELECT * FROM picked ORDER BY due_at, prompt_id) p
  ), stamped AS (
    UPDATE outbox b SET dispatch = n.dispatch, dispatched_at = clock_timestamp()
      FROM numbered n WHERE b.prompt_id = n.prompt_id
    RETURNING n.dispatch, b.prompt_id, b.user_id, b.traceparent
  )
  SELECT * FROM stamped ORDER BY 1;
END $$;

-- ready_lanes_v1: which (lane, model) have rows waiting for the relay.
-- out: one row each; found by skipping through outbox_ready_idx, so the cost does not grow with the backlog
CREATE FUNCTION ready_lanes_v1()
RETURNS TABLE (lane smallint, model text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE pair AS (
    (SELECT b.lane, b.model FROM outbox b WHERE b.dispatch IS NULL AND b.state = 'open'
      ORDER BY b.lane, b.model LIMIT 1)
    UNION ALL
    SELECT n.lane, n.model FROM pair p CROSS JOIN LATERAL (
      SELECT b.lane, b.model FROM outbox b
       WHERE b.dispatch IS NULL AND b.state = 'open' AND (b.lane, b.model) > (p.lane, p.model)
       ORDER BY b.lane, b.model LIMIT 1) n
  )
  SELECT p.lane, p.model FROM pair p;
END $$;

-- unstamp_v1: takes dispatch numbers back; the rows wait for the relay again.
-- in:  p_prompt_ids (null: every stamped row), p_floor: numbers given from now on are above it
-- out: how many rows
-- Rows with an attempt not accounted for keep their number: their entry, if any, is of no use to anybody.
CREATE FUNCTION unstamp_v1(p_prompt_ids uuid[], p_floor bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE n integer;
BEGIN
  IF p_floor IS NOT NULL THEN
    PERFORM setval('dispatch_number', greatest(p_floor, (SELECT last_value FROM dispatch_number)) + 1, false);
  END IF;
  WITH chosen AS MATERIALIZED (
    SELECT b.prompt_id FROM outbox b
     WHERE b.dispatch IS NOT NULL AND b.token IS NULL AND b.state = 'open'
       AND (p_prompt_ids IS NULL OR b.prompt_id = ANY (p_prompt_ids))
     ORDER BY b.prompt_id FOR UPDATE)
  UPDATE outbox b SET dispatch = NULL, dispatched_at = NULL FROM chosen c WHERE b.prompt_id = c.prompt_id;
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END $$;

-- renew_leases_v1: heartbeat of one worker process for all its attempts.
-- in:  parallel arrays p_prompt_ids, p_tokens; p_lease seconds
-- out: one row per attempt: renewed | closing (renewed; the prompt is no longer wanted: stop the call)
--      | busy (row locked just now: ask again) | lost (another attempt, or none, is on record: stop)
CREATE FUNCTION renew_leases_v1(p_prompt_ids uuid[], p_tokens uuid[], p_lease double precision)
RETURNS TABLE (prompt_id uuid, verdict text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH mine AS MATERIALIZED (
    SELECT * FROM unnest(p_prompt_ids, p_tokens) AS t(prompt_id, token)
  ), free AS MATERIALIZED (
    SELECT b.prompt_id FROM outbox b
     WHERE b.prompt_id = ANY (p_prompt_ids) ORDER BY b.prompt_id FOR UPDATE SKIP LOCKED
  ), renewed AS (
    UPDATE outbox b SET lease_until = clock_timestamp() + make_interval(secs => p_lease)
      FROM mine m, free f WHERE b.prompt_id = m.prompt_id AND b.token = m.token AND f.prompt_id = b.prompt_id
    RETURNING b.prompt_id, b.state
  )
  SELECT m.prompt_id,
         CASE WHEN r.state = 'closing' THEN 'closing' WHEN r.prompt_id IS NOT NULL THEN 'renewed'
              WHEN f.prompt_id IS NULL AND EXISTS (SELECT 1 FROM outbox b WHERE b.prompt_id = m.prompt_id
                                                      AND b.token = m.token) THEN 'busy'
              ELSE 'lost' END
    FROM mine m LEFT JOIN renewed r ON r.prompt_id = m.prompt_id LEFT JOIN free f ON f.prompt_id = m.prompt_id;
END $$;

-- Models nobody may be sent to before a time: daily quota used up, key refused, billing stopped.
CREATE TABLE parked_model (
  model  text        NOT NULL PRIMARY KEY,
  reason text        NOT NULL,
  until  timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON parked_model TO prompt_app;

REVOKE ALL ON FUNCTION stamp_ready_v1(smallint, text, text, integer, integer), ready_lanes_v1(),
  unstamp_v1(uuid[], bigint), renew_leases_v1(uuid[], uuid[], double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION stamp_ready_v1(smallint, text, text, integer, integer), ready_lanes_v1(),
  unstamp_v1(uuid[], bigint), renew_leases_v1(uuid[], uuid[], double precision) TO prompt_app;
