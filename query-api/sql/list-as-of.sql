-- in:  as list.sql, without a status, and $9 position P that is looked back to; of a status: list-as-of-status.sql
-- out: prompts submitted up to P, newest first; changed: since P, so that these columns are not those of then
SELECT p.prompt_id, p.user_id, p.status, p.model, p.conversation_id, p.submitted_at, p.submitted_position, p.position, p.state,
       t.prompt, t.answer, t.encoding, p.position > $9 AS changed, true AS by_prompt
  FROM prompt_v{{version}} p
  JOIN prompt_text_v{{version}} t ON t.prompt_id = p.prompt_id
 WHERE ($1::text IS NULL OR p.user_id = $1)
   AND $2::text IS NULL
   AND ($3::text IS NULL OR p.model = $3)
   AND ($4::uuid IS NULL OR p.conversation_id = $4)
   AND p.submitted_at >= $5::timestamptz
   AND p.submitted_at <= $6::timestamptz AND (p.submitted_at, p.prompt_id) < ($6::timestamptz, $7::uuid)
   AND p.submitted_position <= $9
 ORDER BY p.submitted_at DESC, p.prompt_id DESC
 LIMIT $8
