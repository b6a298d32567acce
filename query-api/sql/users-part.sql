-- A part of users.sql, for each segment of the range.
-- in:  $1 to $3 as there; {{table}} user_usage, or usage where sums are by model or by quarters of an hour; {{level}}, {{from}},
--      {{to}} and {{sign}} of the segment; {{only}} which user or model
-- out: what is added to each user's sums, or taken off
  UNION ALL
  SELECT user_id, {{sign}}(queued + running + retrying + completed + failed + cancelled + expired), {{sign}}completed,
         {{sign}}failed, {{sign}}input_tokens, {{sign}}output_tokens, {{sign}}thought_tokens, {{sign}}confirmed_nano_usd,
         {{sign}}wasted_nano_usd, {{sign}}unknown_bound_nano_usd, {{sign}}unknown_attempts,
         CASE WHEN emulated THEN {{sign}}(confirmed_nano_usd + wasted_nano_usd) ELSE 0 END
    FROM {{table}}
   WHERE level = {{level}} AND bucket >= '{{from}}' AND bucket < '{{to}}' AND emulated = ANY (ARRAY(SELECT emulated FROM shown))
     AND {{only}}
