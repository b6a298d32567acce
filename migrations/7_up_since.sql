-- A server that came up, however it did, and builds that are older than the schema.

-- One row: since when this server has surely been up. After a crash PostgreSQL empties unlogged tables, also when its
-- postmaster lives on (one backend killed, all others dropped): pg_postmaster_start_time() tells nothing of that. So an
-- empty table means that the server has just come up; whoever finds it so fills it. A clean stop keeps the row; there
-- the postmaster's time is the later one.
CREATE UNLOGGED TABLE server_up (
  singleton boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (singleton),
  since     timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO server_up DEFAULT VALUES;
GRANT SELECT ON server_up TO prompt_app;

-- note_up_v1: fills server_up when it is empty. Until then no lease is dead.
-- out: since when the server has surely been up
CREATE FUNCTION note_up_v1() RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE found_since timestamptz;
BEGIN
  SELECT u.since INTO found_since FROM server_up u;
  IF found_since IS NULL THEN
    INSERT INTO server_up DEFAULT VALUES ON CONFLICT DO NOTHING;
    SELECT u.since INTO found_since FROM server_up u;
  END IF;
  RETURN found_since;
END $$;
REVOKE ALL ON FUNCTION note_up_v1() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_up_v1() TO prompt_app;

-- in: a row of the outbox. out: true when its attempt's worker can be taken for dead: the lease ran out, the prompt's
-- own waiting time too, and the server has been up for longer than a lease (after an outage the workers' answers come
-- first). Replaced, not numbered: append_events_v1 calls it, and it only became stricter, which every release wants.
CREATE OR REPLACE FUNCTION lease_is_dead(o outbox, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT o.token IS NOT NULL AND o.lease_until < at AND coalesce(o.hold_until, o.lease_until) < at
     AND coalesce((SELECT greatest(u.since, pg_postmaster_start_time()) FROM server_up u)
                  + make_interval(secs => o.lease_seconds) < at, false)
$$;

-- The oldest build that may run on this schema: of the number it was made for (contracts/schema-version.ts). A
-- migration that an older build would misread raises it: UPDATE schema_support SET oldest_build = <its own number>.
CREATE TABLE schema_support (
  singleton    boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (singleton),
  oldest_build integer NOT NULL
);
INSERT INTO schema_support (oldest_build) VALUES (7);
GRANT SELECT ON schema_support TO prompt_app;
