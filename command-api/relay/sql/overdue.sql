-- in:  $1 rows at most
-- out: prompts whose time is over and no attempt runs
SELECT prompt_id FROM outbox
 WHERE expires_at IS NOT NULL AND expires_at <= clock_timestamp() AND token IS NULL AND state = 'open'
 ORDER BY expires_at LIMIT $1
