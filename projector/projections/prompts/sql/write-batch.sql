-- in:  $1 prompts, $2 texts, $3 answers, $4 usage: JSON arrays of the rows of fold-batch.ts;
--      $5 first position in the batch at which a real key was used, or null
-- out: nothing of interest; all tables of version :v: are written in one statement
WITH prompts AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset($1) AS r(prompt_id uuid, user_id text, status text, model text, conversation_id uuid,
                                            emulated boolean, submitted_at timestamptz, submitted_position bigint,
                                            position bigint, state text)
), written AS (
  INSERT INTO prompt_v:v: AS t (prompt_id, user_id, status, model, conversation_id, emulated, submitted_at,
                                submitted_position, position, state)
  SELECT * FROM prompts
  ON CONFLICT (prompt_id) DO UPDATE
    SET status = excluded.status, emulated = excluded.emulated, position = excluded.position, state = excluded.state
), texts AS (
  INSERT INTO prompt_text_v:v: (prompt_id, user_id, prompt, answer, encoding, submitted_at)
  SELECT * FROM jsonb_to_recordset($2) AS r(prompt_id uuid, user_id text, prompt text, answer text, encoding text,
                                            submitted_at timestamptz)
), answers AS (
  UPDATE prompt_text_v:v: t SET answer = r.answer, encoding = r.encoding
    FROM jsonb_to_recordset($3) AS r(prompt_id uuid, answer text, encoding text) WHERE t.prompt_id = r.prompt_id
), real_use AS (
  -- A stream that was set aside may bring an earlier one later.
  INSERT INTO real_use_v:v: AS t (position) SELECT $5::bigint WHERE $5 IS NOT NULL
  ON CONFLICT (singleton) DO UPDATE SET position = excluded.position WHERE excluded.position < t.position
), deltas AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset($4) AS r(bucket timestamptz, user_id text, model text, emulated boolean,
    queued bigint, running bigint, retrying bigint, completed bigint, failed bigint, cancelled bigint, expired bigint,
    input_tokens bigint, cached_input_tokens bigint, output_tokens bigint, thought_tokens bigint,
    confirmed_nano_usd bigint, wasted_nano_usd bigint, unknown_bound_nano_usd bigint, unknown_attempts bigint,
    bins bigint[])
), spans AS MATERIALIZED (
  SELECT l.level, level_start_v1(l.level, d.bucket) AS bucket, d.user_id, d.model, d.emulated,
    queued, running, retrying, completed, failed, cancelled, expired,
    input_tokens, cached_input_tokens, output_tokens, thought_tokens,
    confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd, unknown_attempts, bins
    FROM deltas d CROSS JOIN unnest('{0,1,2,3,4,5}'::smallint[]) AS l(level)
), usages AS (
  INSERT INTO usage_v:v: AS t (level, bucket, user_id, model, emulated,
    queued, running, retrying, completed, failed, cancelled, expired,
    input_tokens, cached_input_tokens, output_tokens, thought_tokens,
    confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd, unknown_attempts, bins)
  SELECT level, bucket, user_id, model, emulated,
    total_v1(queued), total_v1(running), total_v1(retrying), total_v1(completed), total_v1(failed), total_v1(cancelled), total_v1(expired),
    total_v1(input_tokens), total_v1(cached_input_tokens), total_v1(output_tokens), total_v1(thought_tokens),
    total_v1(confirmed_nano_usd), total_v1(wasted_nano_usd), total_v1(unknown_bound_nano_usd), total_v1(unknown_attempts),
    coalesce(min(bins) FILTER (WHERE level = 0), '{}') -- one row of each key
    FROM spans WHERE level <> 1
   GROUP BY level, bucket, user_id, model, emulated ORDER BY level, bucket, user_id, model, emulated
  ON CONFLICT (level, bucket, user_id, model, emulated) DO UPDATE SET
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
    unknown_bound_nano_usd = t.unknown_bound_nano_usd + excluded.unknown_bound_nano_usd,
    unknown_attempts = t.unknown_attempts + excluded.unknown_attempts,
    bins = CASE WHEN excluded.bins = '{}' THEN t.bins ELSE bins_sum_v1(t.bins || excluded.bins) END
), users AS (
  INSERT INTO user_usage_v:v: AS t (level, bucket, user_id, emulated,
    queued, running, retrying, completed, failed, cancelled, expired,
    input_tokens, cached_input_tokens, output_tokens, thought_tokens,
    confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd, unknown_attempts)
  SELECT level, bucket, user_id, emulated,
    total_v1(queued), total_v1(running), total_v1(retrying), total_v1(completed), total_v1(failed), total_v1(cancelled), total_v1(expired),
    total_v1(input_tokens), total_v1(cached_input_tokens), total_v1(output_tokens), total_v1(thought_tokens),
    total_v1(confirmed_nano_usd), total_v1(wasted_nano_usd), total_v1(unknown_bound_nano_usd), total_v1(unknown_attempts)
    FROM spans WHERE level > 1
   GROUP BY level, bucket, user_id, emulated ORDER BY level, bucket, user_id, emulated
  ON CONFLICT (level, bucket, user_id, emulated) DO UPDATE SET
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
    unknown_bound_nano_usd = t.unknown_bound_nano_usd + excluded.unknown_bound_nano_usd,
    unknown_attempts = t.unknown_attempts + excluded.unknown_attempts
), models AS (
  INSERT INTO model_usage_v:v: AS t (level, bucket, model, emulated,
    queued, running, retrying, completed, failed, cancelled, expired,
    input_tokens, cached_input_tokens, output_tokens, thought_tokens,
    confirmed_nano_usd, wasted_nano_usd, unknown_bound_nano_usd, unknown_attempts, bins)
  SELECT level, bucket, model, emulated,
    total_v1(queued), total_v1(running), total_v1(retrying), total_v1(completed), total_v1(failed), total_v1(cancelled), total_v1(expired),
    total_v1(input_tokens), total_v1(cached_input_tokens), total_v1(output_tokens), total_v1(thought_tokens),
    total_v1(confirmed_nano_usd), total_v1(wasted_nano_usd), total_v1(unknown_bound_nano_usd), total_v1(unknown_attempts),
    coalesce(bins_sum_v1(string_agg(bins::text, '') FILTER (WHERE level < 2)), '{}')
    FROM spans
   GROUP BY level, bucket, model, emulated ORDER BY level, bucket, model, emulated
  ON CONFLICT (level, bucket, model, emulated) DO UPDATE SET
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
    unknown_bound_nano_usd = t.unknown_bound_nano_usd + excluded.unknown_bound_nano_usd,
    unknown_attempts = t.unknown_attempts + excluded.unknown_attempts,
    bins = CASE WHEN excluded.bins = '{}' THEN t.bins ELSE bins_sum_v1(t.bins || excluded.bins) END
), bins AS (
  -- Of a day and more all prompts' times are in a row each: a row of their sums would be written anew with each answer.
  INSERT INTO model_latency_v:v: AS t (level, bucket, model, emulated, bin, n)
  SELECT s.level, s.bucket, s.model, s.emulated, b & 4095, total_v1(b >> 12)
    FROM spans s CROSS JOIN unnest(s.bins) AS b WHERE s.level > 1
   GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
  ON CONFLICT (level, bucket, model, emulated, bin) DO UPDATE SET n = t.n + excluded.n
), known AS MATERIALIZED (
  SELECT number, user_id FROM user_number_v:v: WHERE user_id = ANY (ARRAY(SELECT DISTINCT user_id FROM prompts))
), newcomers AS (
  -- in the order of their first prompts, wherever batches were cut
  INSERT INTO user_number_v:v: (number, user_id)
  SELECT coalesce((SELECT number + 1 FROM user_number_v:v: ORDER BY number DESC LIMIT 1), 0)
         + row_number() OVER (ORDER BY min(submitted_position)) - 1, user_id
    FROM prompts WHERE NOT EXISTS (SELECT 1 FROM known k WHERE k.user_id = prompts.user_id) GROUP BY user_id
  RETURNING number, user_id
), marks AS (
  SELECT s.level, s.bucket, s.model, s.emulated, n.number / 512 AS piece,
         bit_or(set_bit(0::bit(512), n.number % 512, 1)) AS users
    FROM spans s JOIN (SELECT * FROM known UNION ALL SELECT * FROM newcomers) n ON n.user_id = s.user_id
   WHERE s.level <> 1 AND s.queued + s.running + s.retrying + s.completed + s.failed + s.cancelled + s.expired > 0
   GROUP BY 1, 2, 3, 4, 5
)
INSERT INTO model_user_v:v: AS t (level, bucket, model, emulated, piece, users)
SELECT * FROM marks ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (level, bucket, model, emulated, piece) DO UPDATE SET users = t.users | excluded.users
  WHERE t.users & excluded.users <> excluded.users
