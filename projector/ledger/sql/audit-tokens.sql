-- Tokens of a user and a model in a quarter of an hour that is drawn, and of how many attempts the cost is unknown, beside what the
-- events of their prompts tell: the ledger has neither. As there, the word counts that tells a cost first; as long as none does, the last.
-- in:  $1 position that both stand at; $2, $3 which quarter, and which user and model of it: 0 (the first) to 1 (exclusive)
-- out: what differs, by who was called. Nothing is compared where a prompt is set aside or has left the log, or where there
--      are over 2,000.
WITH quarters AS (
  SELECT bucket, row_number() OVER (ORDER BY bucket) - 1 AS place, count(*) OVER () AS quarters
    FROM (SELECT DISTINCT bucket FROM model_usage_v:v: WHERE level = 0) b
), drawn AS MATERIALIZED (
  SELECT bucket FROM quarters WHERE place = floor($2::float8 * quarters)
), usages AS MATERIALIZED (
  SELECT user_id, model, emulated, input_tokens, cached_input_tokens, output_tokens, thought_tokens, unknown_attempts
    FROM usage_v:v: WHERE level = 0 AND bucket = (SELECT bucket FROM drawn)
), subjects AS (
  SELECT user_id, model, row_number() OVER (ORDER BY user_id, model) - 1 AS place, count(*) OVER () AS subjects
    FROM (SELECT DISTINCT user_id, model FROM usages) s
), subject AS MATERIALIZED (
  SELECT user_id, model FROM subjects WHERE place = floor($3::float8 * subjects)
), prompts AS MATERIALIZED (
  SELECT prompt_id FROM prompt_v:v:
   WHERE user_id = (SELECT user_id FROM subject) AND submitted_at >= (SELECT bucket FROM drawn)
     AND submitted_at < (SELECT bucket + interval '15 minutes' FROM drawn) AND model = (SELECT model FROM subject)
   LIMIT 2001
), words AS (
  SELECT e.stream_id, e.data ->> 'attempt' AS attempt, e.position, e.type, e.data -> 'usage' AS usage,
         (e.data ->> 'emulated')::boolean AS emulated,
         bool_or(e.data -> 'nanoUsd' <> 'null') OVER (PARTITION BY e.stream_id, e.data ->> 'attempt' ORDER BY e.position
                                                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) IS TRUE AS known_before,
         bool_or(e.data -> 'nanoUsd' <> 'null') OVER (PARTITION BY e.stream_id, e.data ->> 'attempt') IS TRUE AS known
    FROM prompts p CROSS JOIN LATERAL (
      SELECT * FROM event WHERE stream_id = p.prompt_id AND position <= $1::bigint
         AND type IN ('AttemptFailed', 'AttemptDiscarded', 'PromptCompleted', 'AttemptCostCorrected') OFFSET 0) e
), told AS (
  SELECT DISTINCT ON (stream_id, attempt) usage, emulated, known FROM words
   WHERE type <> 'AttemptCostCorrected' AND NOT known_before ORDER BY stream_id, attempt, position DESC
), sides AS (
  SELECT emulated, input_tokens, cached_input_tokens, output_tokens, thought_tokens, unknown_attempts FROM usages JOIN subject USING (user_id, model)
  UNION ALL
  SELECT emulated, -(usage ->> 'inputTokens')::bigint, -(usage ->> 'cachedInputTokens')::bigint,
         -(usage ->> 'outputTokens')::bigint, -(usage ->> 'thoughtTokens')::bigint, 0
    FROM told WHERE usage <> 'null'
  UNION ALL SELECT emulated, 0, 0, 0, 0, -1 FROM told WHERE NOT known
), compared AS (
  SELECT emulated, abs(sum(input_tokens)) + abs(sum(cached_input_tokens)) + abs(sum(output_tokens)) + abs(sum(thought_tokens)) AS tokens,
         abs(sum(unknown_attempts)) AS attempts
    FROM sides GROUP BY emulated
)
SELECT (SELECT bucket FROM drawn) AS bucket, (SELECT user_id FROM subject) AS user_id, (SELECT model FROM subject) AS model,
       emulated, tokens::text, attempts::text
  FROM compared
 WHERE (tokens <> 0 OR attempts <> 0) AND (SELECT count(*) FROM prompts) <= 2000
   AND NOT EXISTS (SELECT FROM prompts p JOIN parked_stream s ON s.stream_id = p.prompt_id
                    WHERE s.name = 'prompts' AND s.version = :v:)
   AND NOT EXISTS (SELECT FROM prompts p
                    WHERE NOT EXISTS (SELECT FROM event e WHERE e.stream_id = p.prompt_id AND e.version = 1))
