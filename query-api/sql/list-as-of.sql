-- in:  as list.sql, and $10 position P that is looked back to
-- out: prompts submitted up to P, newest first; changed: since P, so that these columns are not those of then. A row whose
--      status or answer may have been another one then is not left out: by_prompt tells whether the words are in the prompt
SELECT p.prompt_id, p.user_id, p.status, p.model, p.conversation_id, p.submitted_at, p.submitted_position, p.position, p.state,
       t.prompt, t.answer, t.encoding, p.position > $10 AS changed,
       $5::text IS NULL OR to_tsvector('simple', left(t.prompt, 50000)) @@ plainto_tsquery('simple', $5) AS by_prompt
  FROM prompt_v{{version}} p
  JOIN prompt_text_v{{version}} t ON t.prompt_id = p.prompt_id
 WHERE ($1::text IS NULL OR p.user_id = $1)
   AND ($2::text IS NULL OR p.status = $2 OR p.position > $10)
   AND ($3::text IS NULL OR p.model = $3)
   AND ($4::uuid IS NULL OR p.conversation_id = $4)
   AND ($5::text IS NULL OR t.words @@ plainto_tsquery('simple', $5))
   AND p.submitted_at >= $6::timestamptz
   AND p.submitted_at <= $7::timestamptz AND (p.submitted_at, p.prompt_id) < ($7::timestamptz, $8::uuid)
   AND p.submitted_position <= $10
 ORDER BY p.submitted_at DESC, p.prompt_id DESC
 LIMIT $9
