-- in:  $1 user id, $2 status, $3 model, $4 conversation id: each null for any
--      $5 submitted from; $6, $7 time and id that all rows are before; $8 rows at most
-- out: prompts, newest first
-- The time stands twice: an index scan starts at a bound of one column, and only filters by the pair.
-- Without it a page in the middle of 20,000 prompts read 153 blocks, the first one 67.
-- Sent unnamed: only a plan made for the very values drops the absent filters and takes the index that fits.
SELECT p.prompt_id, p.user_id, p.status, p.model, p.conversation_id, p.submitted_at, p.submitted_position, p.position, p.state,
       t.prompt, t.answer, t.encoding
  FROM prompt_v{{version}} p
  JOIN prompt_text_v{{version}} t ON t.prompt_id = p.prompt_id
 WHERE ($1::text IS NULL OR p.user_id = $1)
   AND ($2::text IS NULL OR p.status = $2)
   AND ($2 IS NULL OR $2 NOT IN ('failed', 'cancelled', 'expired') OR p.left_as = $2) -- has an index of its own
   AND ($3::text IS NULL OR p.model = $3)
   AND ($4::uuid IS NULL OR p.conversation_id = $4)
   AND p.submitted_at >= $5::timestamptz
   AND p.submitted_at <= $6::timestamptz AND (p.submitted_at, p.prompt_id) < ($6::timestamptz, $7::uuid)
 ORDER BY p.submitted_at DESC, p.prompt_id DESC
 LIMIT $8
