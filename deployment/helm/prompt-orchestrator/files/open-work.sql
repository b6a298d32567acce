-- Slots that open prompts want now, for KEDA's postgresql trigger: workers = slots wanted / slots of one worker.
-- in:  the most that counts, in the place of $1
-- out: one row, one float8; above 0 while anything runs, was handed to the workers, or waits and could be
--
-- What runs keeps its dispatch number until it is accounted for, so nobody scales to zero over it. Rows that wait are
-- counted up to the limit only: a backlog of a million costs no more. Those whose time has not come, or whose model is
-- parked, would find a worker idle.
SELECT ((SELECT count(*) FROM outbox WHERE dispatch IS NOT NULL)
      + (SELECT count(*) FROM (
          SELECT FROM outbox o
           WHERE o.dispatch IS NULL AND o.state = 'open' AND o.due_at <= clock_timestamp()
             AND NOT EXISTS (SELECT FROM parked_model p WHERE p.model = o.model AND p.until > clock_timestamp())
           LIMIT $1) waiting))::float8 AS slots_wanted
