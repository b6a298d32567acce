-- Whether a version knows where a real key was first used: from there on emulated prompts are left out of statistics.
-- out: one row when it does not: its position is of an event that is none, or it has none though a real key has answered.
--      What has left the log is not looked for.
SELECT 1 FROM real_use_v:v: r JOIN event e USING (position)
 WHERE NOT coalesce(NOT (e.data ->> 'emulated')::boolean AND (e.type = 'PromptCompleted'
         OR (e.type IN ('AttemptFailed', 'AttemptDiscarded')
             AND ((e.data #>> '{usage,inputTokens}')::bigint > 0 OR (e.data ->> 'nanoUsd')::bigint > 0))), false)
UNION ALL
SELECT 1 WHERE NOT EXISTS (SELECT FROM real_use_v:v:) AND EXISTS (SELECT FROM model_usage_v:v: WHERE level = 5 AND NOT emulated AND completed > 0)
