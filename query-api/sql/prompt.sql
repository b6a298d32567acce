-- in:  $1 prompt id
-- out: one row: the cursor of this very snapshot, whether the stream is parked, and the prompt (nulls: not there yet)
SELECT c.position AS cursor, k.stream_id IS NOT NULL AS parked,
       p.prompt_id, p.user_id, p.status, p.model, p.conversation_id, p.submitted_at, p.submitted_position, p.position, p.state,
       t.prompt, t.answer, t.encoding
  FROM cursor c
  LEFT JOIN prompt_v{{version}} p ON p.prompt_id = $1
  LEFT JOIN prompt_text_v{{version}} t ON t.prompt_id = $1
  LEFT JOIN parked_stream k ON k.name = c.name AND k.version = c.version AND k.stream_id = $1
 WHERE c.name = 'prompts' AND c.version = {{version}} AND c.lane = 0
