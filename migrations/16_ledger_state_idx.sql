-- postgres-migrations disable-transaction
-- A page of entries of one state: where few or none had it, the whole ledger was read. Most are confirmed, and found without.
-- The price: an entry that is settled after it was posted is no longer updated in place (HOT), since its state is in an index.
CREATE INDEX CONCURRENTLY IF NOT EXISTS ledger_entry_state_idx ON ledger_entry (state, reserved_position)
  WHERE state <> 'confirmed';
