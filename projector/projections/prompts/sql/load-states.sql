-- in:  $1 stream ids
-- out: the states folded so far
SELECT prompt_id, user_id, status, model, conversation_id, submitted_at, submitted_position, position, state
  FROM prompt_v:v: WHERE prompt_id = ANY ($1::uuid[])
