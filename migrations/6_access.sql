-- API keys: only a hash is kept; the key itself is shown once, when it is made.
CREATE TABLE api_key (
  key_id     uuid        NOT NULL PRIMARY KEY,
  user_id    text        NOT NULL CHECK (user_id <> ''),
  role       text        NOT NULL CHECK (role IN ('user', 'admin')),
  name       text        NOT NULL DEFAULT '',
  hash       bytea       NOT NULL UNIQUE,   -- SHA-256 of a key of 256 random bits: nothing to guess, no salt needed
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz
);

-- Keyed hashes of request bodies use this; one per deployment, shared by all replicas.
CREATE TABLE secret (
  name  text  NOT NULL PRIMARY KEY,
  value bytea NOT NULL
);
INSERT INTO secret (name, value)
  VALUES ('idempotency', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));

GRANT SELECT, INSERT, UPDATE ON api_key TO prompt_app;
GRANT SELECT ON secret TO prompt_app;
