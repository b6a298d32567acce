-- in:  $1 position P; $2 user id, $3 model: null for any; $4, $5 submitted from, until (exclusive)
-- out: prompts that were under way at P: submitted up to it and changed since, as they are now
-- Those with less than 4096 positions between their first event and their last are among the last that were submitted before
-- P, the others are looked for class by class: see span_class_v1.
SELECT prompt_id, user_id, status, model, conversation_id, submitted_at, submitted_position, position, state
  FROM prompt_v{{version}}
 WHERE span_class IS NULL AND submitted_position > $1::bigint - 4096 AND submitted_position <= $1 AND position > $1
   AND ($2::text IS NULL OR user_id = $2) AND ($3::text IS NULL OR model = $3)
   AND submitted_at >= $4::timestamptz AND submitted_at < $5::timestamptz
UNION ALL
SELECT p.*
  FROM generate_series(1, 21) AS c(class)
 CROSS JOIN LATERAL (
   SELECT prompt_id, user_id, status, model, conversation_id, submitted_at, submitted_position, position, state
     FROM prompt_v{{version}}
    WHERE span_class = c.class AND submitted_position > $1 - (4096::bigint << (2 * c.class)) AND submitted_position <= $1
      AND position > $1
      AND ($2::text IS NULL OR user_id = $2) AND ($3::text IS NULL OR model = $3)
      AND submitted_at >= $4::timestamptz AND submitted_at < $5::timestamptz
   OFFSET 0
 ) p
