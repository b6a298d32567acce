-- out: how the rebuild that was asked for last, of those that have ended, did so; no row before the first
SELECT outcome FROM rebuild WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT 1
