-- What the ledger's entries of the last 24 hours add up to, by when the attempt started.
-- in:  $1 the last position before them: by position they are found by an index. The time decides where the log begins later.
-- out: account (reserved | confirmed | wasted | unknown), emulated, nano_usd. No row where nothing is.
-- An attempt that nobody heard of again has not said whether its provider was the emulator: it counts as emulated where
-- another attempt of its prompt was, lest it alarm a budget of money; else as real, up to its bound, as in the statistics
-- always. Those are few, and have an index.
SELECT account, emulated, sum(nano_usd)::text AS nano_usd FROM (
  SELECT state AS account, emulated, sum(coalesce(nano_usd, bound_nano_usd)) AS nano_usd FROM ledger_entry
   WHERE reserved_position > $1 AND reserved_at > now() - interval '24 hours' AND (nano_usd > 0 OR emulated)
   GROUP BY state, emulated
  UNION ALL
  SELECT e.state, other.emulated IS TRUE, e.bound_nano_usd FROM ledger_entry e
    LEFT JOIN LATERAL (
      SELECT o.emulated FROM ledger_entry o WHERE o.prompt_id = e.prompt_id AND o.emulated LIMIT 1) other ON true
   WHERE e.state IN ('unknown', 'reserved') AND NOT e.emulated
     AND e.reserved_position > $1 AND e.reserved_at > now() - interval '24 hours'
) parts
 WHERE account <> 'void'
 GROUP BY account, emulated
