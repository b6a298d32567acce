-- in:  as list.sql; $9 words; $10 position P that is looked back to, or null for now; $11 marks of a user and a span of time that
--      prompts have beside their words (text_marks_v1): a tsquery, or null
-- out: prompts with the words, newest first; changed: since P, so that these columns are not those of then, and a row whose status
--      may have been another one then is not left out; by_prompt: whether the words are in the prompt, as they were then
-- OFFSET 0: prompts are looked up one by one, until the page is full.
SELECT f.*, t.prompt, t.answer, t.encoding,
       NOT f.changed OR to_tsvector('simple', left(t.prompt, 50000)) @@ plainto_tsquery('simple', $9::text) AS by_prompt
  FROM (
    SELECT p.*
      FROM (
        SELECT prompt_id, submitted_at FROM prompt_text_v{{version}}
         WHERE words @@ coalesce(plainto_tsquery('simple', $9) && $11::tsquery, plainto_tsquery('simple', $9))
           AND numnode(plainto_tsquery('simple', $9)) > 0
           AND ($1::text IS NULL OR user_id = $1)
           AND submitted_at >= $5::timestamptz AND (submitted_at, prompt_id) < ($6::timestamptz, $7::uuid)
         ORDER BY submitted_at DESC, prompt_id DESC OFFSET 0
      ) w
     CROSS JOIN LATERAL (
       SELECT prompt_id, user_id, status, model, conversation_id, submitted_at, submitted_position, position, state,
              position > coalesce($10::bigint, 9223372036854775807) AS changed FROM prompt_v{{version}}
        WHERE prompt_id = w.prompt_id
          AND ($2::text IS NULL OR status = $2 OR position > $10)
          AND ($3::text IS NULL OR model = $3) AND ($4::uuid IS NULL OR conversation_id = $4)
          AND ($10 IS NULL OR submitted_position <= $10)
       OFFSET 0
     ) p
     ORDER BY w.submitted_at DESC, w.prompt_id DESC
     LIMIT $8
  ) f
 CROSS JOIN LATERAL (SELECT prompt, answer, encoding FROM prompt_text_v{{version}} WHERE prompt_id = f.prompt_id OFFSET 0) t
 ORDER BY f.submitted_at DESC, f.prompt_id DESC
