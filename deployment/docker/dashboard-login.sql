-- The login of Grafana: it may do what prompt_dashboards may, which is for migrations to grant, and changes nothing. Safe to
-- run again, also with another password.
-- in: :password (psql); out: nothing
DO $$
BEGIN
  CREATE ROLE prompt_dashboards NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- a migration made it
END $$;
DO $$
BEGIN
  CREATE ROLE prompt_app NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- a migration made it, which goes on where this did
END $$;
DO $$
BEGIN
  CREATE ROLE grafana;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- an earlier start made it
END $$;
ALTER ROLE grafana LOGIN PASSWORD :'password';
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '20s';
GRANT prompt_dashboards TO grafana;
-- Everybody may take advisory locks by default; the log's own would keep every append waiting. The services need theirs: by
-- them one relay leads, and one rebuild runs.
DO $$
DECLARE fn regprocedure;
BEGIN
  FOR fn IN SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^pg_(try_)?advisory_' LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', fn);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO prompt_app', fn);
  END LOOP;
END $$;
