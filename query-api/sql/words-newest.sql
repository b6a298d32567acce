-- in:  as list.sql, $8 being how many are looked at; $9 words; $10 position P that is looked back to, or null for now
-- out: the newest prompts, one by one: whether the words are in prompt or answer, and if so the prompt. Looking back, a status
--      is looked at here, lest few that have it now are looked for; changed and by_prompt as in words-in-span.sql
WITH newest AS MATERIALIZED (
  SELECT p.prompt_id, p.user_id, p.status, p.model, p.conversation_id, p.submitted_at, p.submitted_position, p.position, p.state,
         p.position > coalesce($10::bigint, 9223372036854775807) AS changed
    FROM prompt_v{{version}} p
   WHERE ($1::text IS NULL OR p.user_id = $1)
     AND ($2::text IS NULL OR $10 IS NOT NULL OR p.status = $2)
     AND ($2 IS NULL OR $10 IS NOT NULL OR $2 NOT IN ('failed', 'cancelled', 'expired') OR p.left_as = $2)
     AND ($3::text IS NULL OR p.model = $3)
     AND ($4::uuid IS NULL OR p.conversation_id = $4)
     AND p.submitted_at >= $5::timestamptz
     AND p.submitted_at <= $6::timestamptz AND (p.submitted_at, p.prompt_id) < ($6::timestamptz, $7::uuid)
     AND ($10 IS NULL OR p.submitted_position <= $10)
   ORDER BY p.submitted_at DESC, p.prompt_id DESC
   LIMIT $8
)
SELECT n.*, t.prompt IS NOT NULL AS matches, t.prompt, t.answer, t.encoding, t.by_prompt
  FROM newest n
  LEFT JOIN LATERAL (
    SELECT prompt, answer, encoding, NOT n.changed
           OR to_tsvector('simple', left(prompt, 50000)) @@ plainto_tsquery('simple', $9::text) AS by_prompt
      FROM prompt_text_v{{version}}
     WHERE prompt_id = n.prompt_id AND words @@ plainto_tsquery('simple', $9)
       AND ($2 IS NULL OR n.status = $2 OR n.changed)
    OFFSET 0
  ) t ON true
 ORDER BY n.submitted_at DESC, n.prompt_id DESC
