-- out: nano_usd: how far the all-time sums are from the sums of the quarters of an hour; prompts: how far the counted
--      statuses are from the number of prompts. Both are 0, or something is wrong. One snapshot: a running projector
--      changes nothing.
SELECT
  (SELECT coalesce(sum(confirmed_nano_usd + wasted_nano_usd + unknown_bound_nano_usd), 0) FROM usage_v:v: WHERE level = 0)
  - (SELECT coalesce(sum(confirmed_nano_usd + wasted_nano_usd + unknown_bound_nano_usd), 0) FROM user_usage_v:v: WHERE level = 5)
    AS nano_usd,
  (SELECT count(*) FROM prompt_v:v:)
  - (SELECT coalesce(sum(queued + running + retrying + completed + failed + cancelled + expired), 0) FROM model_usage_v:v:
      WHERE level = 5) AS prompts
