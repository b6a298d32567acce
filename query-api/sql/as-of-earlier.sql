-- in:  $1 position P; $2 user id, $3 model: null for any; $4, $5 submitted from, until (exclusive)
-- out: prompts that were submitted up to P, in the part of its quarter of an hour before it, as they are now; changed: since P
SELECT prompt_id, user_id, status, model, conversation_id, submitted_at, submitted_position, position, state,
       position > $1 AS changed
  FROM prompt_v{{version}}
 WHERE submitted_position <= $1
   AND ($2::text IS NULL OR user_id = $2) AND ($3::text IS NULL OR model = $3)
   AND submitted_at >= $4::timestamptz AND submitted_at < $5::timestamptz
