-- in:  $1 prompts, $2 texts, $3 answers, $4 usage, $5 latencies: JSON arrays of the rows of fold-batch.ts;
--      $6 first position in the page at which a real key was used, or null
-- out: nothing of interest; tables of version :v: in its bulk phase, whose sums are only written down
WITH prompts AS (
  INSERT INTO prompt_v:v: AS t (prompt_id, user_id, status, model, conversation_id, emulated, submitted_at,
                                submitted_position, position, state)
  SELECT * FROM jsonb_to_recordset($1) AS r(prompt_id uuid, user_id text, status text, model text, conversation_id uuid,
                                            emulated boolean, submitted_at timestamptz, submitted_position bigint,
                                            position bigint, state jsonb)
  ON CONFLICT (prompt_id) DO UPDATE
    SET status = excluded.status, emulated = excluded.emulated, position = excluded.position, state = excluded.state
), texts AS (
  INSERT INTO prompt_text_v:v: (prompt_id, user_id, prompt, answer, encoding)
  SELECT * FROM json_to_recordset($2::json) AS r(prompt_id uuid, user_id text, prompt text, answer text, encoding text)
), answers AS (
  UPDATE prompt_text_v:v: t SET answer = r.answer, encoding = r.encoding
    FROM json_to_recordset($3::json) AS r(prompt_id uuid, answer text, encoding text) WHERE t.prompt_id = r.prompt_id
), real_use AS (
  -- Lanes are at the same page, or one page apart: once there is an earlier one, none waits for the row.
  INSERT INTO real_use_v:v: AS t (position)
  SELECT $6::bigint WHERE $6 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM real_use_v:v: WHERE position <= $6)
  ON CONFLICT (singleton) DO UPDATE SET position = least(t.position, excluded.position)
), usage AS (
  INSERT INTO usage_delta_v:v: (bucket, user_id, model, emulated,
    queued, running, retrying, completed, failed, cancelled, expired,
    input_tokens, cached_input_tokens, output_tokens, thought_tokens,
    confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd)
  SELECT * FROM json_to_recordset($4::json) AS r(
    bucket timestamptz, user_id text, model text, emulated boolean,
    queued bigint, running bigint, retrying bigint, completed bigint, failed bigint, cancelled bigint, expired bigint,
    input_tokens bigint, cached_input_tokens bigint, output_tokens bigint, thought_tokens bigint,
    confirmed_nano_usd bigint, wasted_nano_usd bigint, unknown_bound_nano_usd bigint)
)
INSERT INTO latency_delta_v:v: (bucket, user_id, model, emulated, measure, bin, n)
SELECT * FROM json_to_recordset($5::json) AS r(bucket timestamptz, user_id text, model text, emulated boolean,
                                               measure text, bin smallint, n bigint)
