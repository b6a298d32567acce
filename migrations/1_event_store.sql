-- The log. Services run as prompt_app: they read it, and write it only through append_events_*.
DO $$
BEGIN
  CREATE ROLE prompt_app NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- roles belong to the cluster: another database's migration made it
END $$;

-- Since version 16 the creator of a role may administer it, but not act as it, unless granted.
DO $$
BEGIN
  EXECUTE format('GRANT prompt_app TO %I', current_user);
EXCEPTION WHEN invalid_grant_operation OR insufficient_privilege THEN
  RAISE NOTICE 'prompt_app was made by another role; it must be granted to the services'' login by an administrator';
END $$;

GRANT USAGE ON SCHEMA public TO prompt_app;

CREATE TABLE event (
  position       bigint      NOT NULL PRIMARY KEY,
  stream_id      uuid        NOT NULL,
  version        integer     NOT NULL CHECK (version > 0),
  event_id       uuid        NOT NULL,
  type           text        NOT NULL,
  schema_version smallint    NOT NULL,
  data           jsonb       NOT NULL,
  metadata       jsonb       NOT NULL,
  recorded_at    timestamptz NOT NULL,
  CONSTRAINT event_stream_version_key UNIQUE (stream_id, version),
  CONSTRAINT event_event_id_key UNIQUE (event_id)
);

-- A user's feed catches up by (user, position); every event names its user.
CREATE INDEX event_user_position_idx ON event ((data ->> 'userId'), position);

-- Head and floor outlive the rows: an emptied or archived log must not start again at 1.
CREATE TABLE log_head (
  singleton   boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (singleton),
  position    bigint      NOT NULL,
  floor       bigint      NOT NULL,
  recorded_at timestamptz NOT NULL
);
INSERT INTO log_head (position, floor, recorded_at) VALUES (0, 0, '-infinity');

-- Privileges stop the services; this stops an owner's slip as well.
CREATE FUNCTION refuse_event_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the event log is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_event_change();

GRANT SELECT ON event, log_head TO prompt_app;
