-- in:  nothing
-- out: open prompts by lane and what they wait for, and the age in seconds of the oldest: since it was due, or dispatched
--      waiting: due, for the relay; parked: the same, of a model nobody is sent to now; scheduled: not due yet;
--      dispatched: has a number and no attempt yet; running: has an attempt that is not accounted for
SELECT lane, state, count(*)::integer AS prompts,
       greatest(0, extract(epoch FROM clock_timestamp() - min(since)))::float8 AS "oldestSeconds"
  FROM (SELECT o.lane,
               CASE WHEN o.token IS NOT NULL THEN 'running' WHEN o.dispatch IS NOT NULL THEN 'dispatched'
                    WHEN o.due_at > clock_timestamp() THEN 'scheduled'
                    WHEN o.model = ANY (p.models) THEN 'parked' ELSE 'waiting' END AS state,
               coalesce(o.dispatched_at, o.due_at) AS since
          FROM outbox o
         CROSS JOIN (SELECT ARRAY(SELECT model FROM parked_model WHERE until > clock_timestamp()) AS models) p) open
 GROUP BY lane, state
