-- in:  $1 prompts, $2 texts, $3 answers, $4 usage, $5 latencies: JSON arrays of the rows of fold-batch.ts
-- out: nothing of interest; all tables of version :v: are written in one statement
WITH prompts AS (
  INSERT INTO prompt_v:v: AS t (prompt_id, user_id, status, model, conversation_id, emulated, submitted_at, position, state)
  SELECT * FROM jsonb_to_recordset($1) AS r(prompt_id uuid, user_id text, status text, model text, conversation_id uuid,
                                            emulated boolean, submitted_at timestamptz, position bigint, state jsonb)
  ON CONFLICT (prompt_id) DO UPDATE
    SET status = excluded.status, emulated = excluded.emulated, position = excluded.position, state = excluded.state
), texts AS (
  INSERT INTO prompt_text_v:v: (prompt_id, user_id, prompt, answer, encoding)
  SELECT * FROM jsonb_to_recordset($2) AS r(prompt_id uuid, user_id text, prompt text, answer text, encoding text)
), answers AS (
  UPDATE prompt_text_v:v: t SET answer = r.answer, encoding = r.encoding
    FROM jsonb_to_recordset($3) AS r(prompt_id uuid, answer text, encoding text) WHERE t.prompt_id = r.prompt_id
), deltas AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset($4) AS r(
    bucket timestamptz, user_id text, model text, emulated boolean,
    queued bigint, running bigint, retrying bigint, completed bigint, failed bigint, cancelled bigint, expired bigint,
    input_tokens bigint, cached_input_tokens bigint, output_tokens bigint, thought_tokens bigint,
    confirmed_nano_usd numeric, wasted_nano_usd numeric, unknown_bound_nano_usd numeric)
), buckets AS (
  INSERT INTO usage_v:v: AS t (bucket, user_id, model, emulated,
    queued, running, retrying, completed, failed, cancelled, expired,
    input_tokens, cached_input_tokens, output_tokens, thought_tokens,
    confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd)
  SELECT * FROM deltas
  ON CONFLICT (bucket, user_id, model, emulated) DO UPDATE SET
    queued = t.queued + excluded.queued, running = t.running + excluded.running,
    retrying = t.retrying + excluded.retrying, completed = t.completed + excluded.completed,
    failed = t.failed + excluded.failed, cancelled = t.cancelled + excluded.cancelled,
    expired = t.expired + excluded.expired,
    input_tokens = t.input_tokens + excluded.input_tokens,
    cached_input_tokens = t.cached_input_tokens + excluded.cached_input_tokens,
    output_tokens = t.output_tokens + excluded.output_tokens,
    thought_tokens = t.thought_tokens + excluded.thought_tokens,
    confirmed_nano_usd = t.confirmed_nano_usd + excluded.confirmed_nano_usd,
    wasted_nano_usd = t.wasted_nano_usd + excluded.wasted_nano_usd,
    unknown_bound_nano_usd = t.unknown_bound_nano_usd + excluded.unknown_bound_nano_usd
), totals AS (
  INSERT INTO usage_total_v:v: AS t (user_id, model, emulated,
    queued, running, retrying, completed, failed, cancelled, expired,
    input_tokens, cached_input_tokens, output_tokens, thought_tokens,
    confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd)
  SELECT user_id, model, emulated,
    sum(queued), sum(running), sum(retrying), sum(completed), sum(failed), sum(cancelled), sum(expired),
    sum(input_tokens), sum(cached_input_tokens), sum(output_tokens), sum(thought_tokens),
    sum(confirmed_nano_usd), sum(wasted_nano_usd), sum(unknown_bound_nano_usd)
    FROM deltas GROUP BY user_id, model, emulated ORDER BY user_id, model, emulated
  ON CONFLICT (user_id, model, emulated) DO UPDATE SET
    queued = t.queued + excluded.queued, running = t.running + excluded.running,
    retrying = t.retrying + excluded.retrying, completed = t.completed + excluded.completed,
    failed = t.failed + excluded.failed, cancelled = t.cancelled + excluded.cancelled,
    expired = t.expired + excluded.expired,
    input_tokens = t.input_tokens + excluded.input_tokens,
    cached_input_tokens = t.cached_input_tokens + excluded.cached_input_tokens,
    output_tokens = t.output_tokens + excluded.output_tokens,
    thought_tokens = t.thought_tokens + excluded.thought_tokens,
    confirmed_nano_usd = t.confirmed_nano_usd + excluded.confirmed_nano_usd,
    wasted_nano_usd = t.wasted_nano_usd + excluded.wasted_nano_usd,
    unknown_bound_nano_usd = t.unknown_bound_nano_usd + excluded.unknown_bound_nano_usd
), latencies AS (
  INSERT INTO latency_v:v: AS t (bucket, user_id, model, emulated, measure, bin, n)
  SELECT * FROM jsonb_to_recordset($5) AS r(bucket timestamptz, user_id text, model text, emulated boolean,
                                            measure text, bin smallint, n bigint)
  ON CONFLICT (bucket, user_id, model, emulated, measure, bin) DO UPDATE SET n = t.n + excluded.n
)
SELECT 1
