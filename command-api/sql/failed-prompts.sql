-- in:  $1 user id, $2 model, $3 error code, $4 conversation id: each null for any
--      $5 submitted from; $6 submitted before; $7 now; $8 true: those that have expired by then, false: the others
--      $9 rows at most
-- out: ids of failed prompts, oldest first
-- What `state` has at which place: contracts/prompt/packed-state.ts.
-- The read model is a moment behind the log, the outbox is not: a failed prompt has no row there, so one that has a row
-- was sent again already. Without this the next call of a loop would meet the same prompts until the projector is there.
-- Sent unnamed: only a plan made for the very values drops the absent filters and takes the index that fits.
SELECT p.prompt_id
  FROM prompt_v{{version}} p
 WHERE p.status = 'failed'
   AND ($1::text IS NULL OR p.user_id = $1)
   AND ($2::text IS NULL OR p.model = $2)
   AND ($3::text IS NULL OR p.state::json #>> '{13,0}' = $3)
   AND ($4::uuid IS NULL OR p.conversation_id = $4)
   AND p.submitted_at >= $5::timestamptz AND p.submitted_at < $6::timestamptz
   AND ((p.state::json ->> 5)::timestamptz <= $7::timestamptz) IS TRUE = $8::boolean
   AND NOT EXISTS (SELECT FROM outbox o WHERE o.prompt_id = p.prompt_id)
 ORDER BY p.submitted_at, p.prompt_id
 LIMIT $9
