-- out: rebuilds that are open, or ended within the last half minute, oldest first
SELECT * FROM rebuild WHERE ended_at IS NULL OR ended_at > clock_timestamp() - interval '30 s' ORDER BY id
