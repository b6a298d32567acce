-- in:  $1 prompts that were there before the page, $2 answers to them: JSON arrays of the rows of fold-batch.ts;
--      $3 first position in the page at which a real key was used, or null
-- out: nothing of interest; tables of version :v: in its bulk phase. What is new is copied.
WITH prompts AS (
  UPDATE prompt_v:v: t SET status = r.status, emulated = r.emulated, position = r.position, state = r.state
    FROM jsonb_to_recordset($1) AS r(prompt_id uuid, status text, emulated boolean, position bigint, state text)
   WHERE t.prompt_id = r.prompt_id
), answers AS (
  UPDATE prompt_text_v:v: t SET answer = r.answer, encoding = r.encoding
    FROM json_to_recordset($2::json) AS r(prompt_id uuid, answer text, encoding text) WHERE t.prompt_id = r.prompt_id
)
-- Lanes are at the same page, or one page apart: once there is an earlier one, none waits for the row.
INSERT INTO real_use_v:v: AS t (position)
SELECT $3::bigint WHERE $3 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM real_use_v:v: WHERE position <= $3)
ON CONFLICT (singleton) DO UPDATE SET position = least(t.position, excluded.position)
