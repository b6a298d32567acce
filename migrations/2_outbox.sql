-- One row per open prompt: what the relay dispatches and the ledger of leases that workers claim.
CREATE TABLE outbox (
  prompt_id    uuid        NOT NULL PRIMARY KEY,
  user_id      text        NOT NULL,
  model        text        NOT NULL,
  lane         smallint    NOT NULL CHECK (lane BETWEEN 0 AND 2), -- 0 interactive, 1 normal, 2 batch
  state        text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closing')),
  due_at       timestamptz NOT NULL,
  expires_at   timestamptz,
  traceparent  text,
  dispatch     bigint,        -- number under which it was published; null: waits for the relay
  dispatched_at timestamptz,
  attempt      integer     NOT NULL DEFAULT 0,
  token        uuid,          -- of the attempt not yet accounted for
  worker       text,
  lease_until  timestamptz,
  lease_seconds real,
  hold_until   timestamptz,   -- a lost attempt is not given up before (cautious, never)
  interaction_id text,        -- provider's background job: resumed, not retried
  opened_at    timestamptz NOT NULL,
  CHECK ((token IS NULL) = (lease_until IS NULL))
) WITH (fillfactor = 70);

-- What the relay picks from. Stamping leaves it, so claims, heartbeats and settling touch no index (HOT);
-- no index may name lease, token or attempt: with one, 0 of 180,000 heartbeat updates were HOT.
CREATE INDEX outbox_ready_idx ON outbox (lane, model, user_id, due_at) WHERE dispatch IS NULL AND state = 'open';
CREATE INDEX outbox_dispatch_idx ON outbox (dispatch) WHERE dispatch IS NOT NULL;
CREATE INDEX outbox_expires_idx ON outbox (expires_at) WHERE expires_at IS NOT NULL;

CREATE SEQUENCE dispatch_number;

-- Workers say how many slots they have; the relay keeps about twice as many entries undelivered.
CREATE UNLOGGED TABLE worker (
  worker_id text        NOT NULL PRIMARY KEY,
  slots     integer     NOT NULL CHECK (slots > 0),
  running   integer     NOT NULL,
  seen_at   timestamptz NOT NULL
);

GRANT SELECT ON outbox, dispatch_number TO prompt_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON worker TO prompt_app;

-- in: a row of the outbox. out: true when its attempt's worker can be taken for dead: the lease ran out, the
-- prompt's own waiting time too, and the server has been up for longer than a lease (after an outage the
-- workers' answers come first).
CREATE FUNCTION lease_is_dead(o outbox, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT o.token IS NOT NULL AND o.lease_until < at AND coalesce(o.hold_until, o.lease_until) < at
     AND pg_postmaster_start_time() + make_interval(secs => o.lease_seconds) < at
$$;
