-- A rebuild that `npm run replay` does has a row too, so that how far it is can be read; any rebuild can be cancelled, and be
-- asked for by one who knows that it will differ.
ALTER TABLE rebuild
  ADD COLUMN by_tool      boolean NOT NULL DEFAULT false,   -- done by a tool's own process: no projector takes it up
  ADD COLUMN cancelled_by text,                             -- whoever does it breaks off, drops what was built and ends it
  ADD COLUMN accept_differences boolean NOT NULL DEFAULT false,   -- served also if it is not equal to the former version
  DROP CONSTRAINT rebuild_outcome_check,
  ADD CONSTRAINT rebuild_outcome_check CHECK (outcome IN ('switched', 'kept', 'dropped', 'failed', 'cancelled'));
