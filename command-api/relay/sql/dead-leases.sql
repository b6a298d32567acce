-- in:  $1 rows at most
-- out: attempts whose worker can be taken for dead. Only dispatched rows can carry a token, and outbox_dispatch_idx
--      holds just these: a backlog of a million waiting rows is not read.
SELECT prompt_id, token, attempt FROM outbox o
 WHERE dispatch IS NOT NULL AND token IS NOT NULL AND lease_is_dead(o, clock_timestamp())
 ORDER BY dispatch LIMIT $1
