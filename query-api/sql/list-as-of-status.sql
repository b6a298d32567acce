-- in:  as list.sql, $2 never null; $9 position P that is looked back to; $10 how many have the status at most, of those not changed
--      since P: no more are looked for
-- out: as list-as-of.sql, of a status: who has it now and has not changed since P had it then, and is found by it; all who have
--      changed since may have had it, and are found as in as-of-changed.sql
-- One condition for both would go through every prompt between two that are found.
WITH kept AS MATERIALIZED (
  SELECT prompt_id, submitted_at FROM prompt_v{{version}}
   WHERE ($1::text IS NULL OR user_id = $1)
     AND status = $2
     AND ($2 NOT IN ('failed', 'cancelled', 'expired') OR left_as = $2)
     AND ($3::text IS NULL OR model = $3)
     AND ($4::uuid IS NULL OR conversation_id = $4)
     AND submitted_at >= $5::timestamptz
     AND submitted_at <= $6::timestamptz AND (submitted_at, prompt_id) < ($6::timestamptz, $7::uuid)
     AND position <= $9
   ORDER BY submitted_at DESC, prompt_id DESC
   LIMIT $10::integer
), changed AS (
  SELECT prompt_id, submitted_at, user_id, model, conversation_id FROM prompt_v{{version}}
   WHERE span_class IS NULL AND submitted_position > $9::bigint - 4096 AND submitted_position <= $9 AND position > $9
  UNION ALL
  SELECT p.*
    FROM generate_series(1, 21) AS c(class)
   CROSS JOIN LATERAL (
     SELECT prompt_id, submitted_at, user_id, model, conversation_id FROM prompt_v{{version}}
      WHERE span_class = c.class AND submitted_position > $9 - (4096::bigint << (2 * c.class)) AND submitted_position <= $9
        AND position > $9
     OFFSET 0
   ) p
), page AS MATERIALIZED (
  SELECT prompt_id, submitted_at FROM kept
  UNION ALL
  SELECT prompt_id, submitted_at FROM changed
   WHERE ($1 IS NULL OR user_id = $1) AND ($3 IS NULL OR model = $3) AND ($4 IS NULL OR conversation_id = $4)
     AND submitted_at >= $5::timestamptz AND (submitted_at, prompt_id) < ($6::timestamptz, $7::uuid)
   ORDER BY submitted_at DESC, prompt_id DESC
   LIMIT $8
)
SELECT p.prompt_id, p.user_id, p.status, p.model, p.conversation_id, p.submitted_at, p.submitted_position, p.position, p.state,
       t.prompt, t.answer, t.encoding, p.position > $9 AS changed, true AS by_prompt
  FROM page l
 CROSS JOIN LATERAL (SELECT * FROM prompt_v{{version}} WHERE prompt_id = l.prompt_id OFFSET 0) p
 CROSS JOIN LATERAL (SELECT prompt, answer, encoding FROM prompt_text_v{{version}} WHERE prompt_id = l.prompt_id OFFSET 0) t
 ORDER BY l.submitted_at DESC, l.prompt_id DESC
