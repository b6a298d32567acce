-- in:  $1 prompt ids
-- out: those that the read model has, in no order
SELECT p.prompt_id, p.user_id, p.status, p.model, p.conversation_id, p.submitted_at, p.submitted_position, p.position, p.state,
       t.prompt, t.answer, t.encoding
  FROM prompt_v{{version}} p
  JOIN prompt_text_v{{version}} t ON t.prompt_id = p.prompt_id
 WHERE p.prompt_id = ANY ($1::uuid[])
