-- in:  $1 user (null: all), $2 model, $3 state, $4 prompt, $5 from and $6 to (times of reservation, null: open), $7 the last
--      reserved_position of the page before (null: the first page), $8 how many
-- out: entries, the newest first; every row, also when there is no entry, has up to where the ledger is posted.
-- Of a model that has no account no entry is looked for: none would be found, and all of them read.
-- Sent unnamed: only a plan made for the very values knows that a state is one of those in the index of states.
SELECT h.position, e.*
  FROM ledger_head h
  LEFT JOIN LATERAL (
    SELECT prompt_id, attempt, user_id, model, state, nano_usd, bound_nano_usd, price_version, emulated, corrected,
           reserved_position, reserved_at, settled_position, settled_at
      FROM ledger_entry
     WHERE ($1::text IS NULL OR user_id = $1)
       AND ($2::text IS NULL OR (model = $2 AND EXISTS (
             SELECT FROM ledger_account a WHERE a.model = $2 AND ($1::text IS NULL OR a.user_id = $1))))
       AND ($3::text IS NULL OR state = $3)
       AND ($4::uuid IS NULL OR prompt_id = $4)
       AND ($5::timestamptz IS NULL OR (reserved_at >= $5
             AND reserved_position > reserved_position_at_v1($5 - interval '1 millisecond')))
       AND ($6::timestamptz IS NULL OR (reserved_at < $6
             AND reserved_position <= reserved_position_at_v1($6 - interval '1 millisecond')))
       AND ($7::bigint IS NULL OR reserved_position < $7)
     ORDER BY reserved_position DESC LIMIT $8
  ) e ON true
