-- out: nano_usd: how far the all-time sums are from the sums of the buckets; prompts: how far the counted statuses are
--      from the number of prompts. Both are 0, or something is wrong. One snapshot: a running projector changes nothing.
SELECT
  (SELECT coalesce(sum(confirmed_nano_usd + wasted_nano_usd + unknown_bound_nano_usd), 0) FROM usage_v:v:)
  - (SELECT coalesce(sum(confirmed_nano_usd + wasted_nano_usd + unknown_bound_nano_usd), 0) FROM usage_total_v:v:) AS nano_usd,
  (SELECT count(*) FROM prompt_v:v:)
  - (SELECT coalesce(sum(queued + running + retrying + completed + failed + cancelled + expired), 0) FROM usage_total_v:v:) AS prompts
