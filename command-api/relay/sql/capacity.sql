-- in:  nothing
-- out: slots of the workers that reported in the last seconds; models nobody may be sent to now
SELECT (SELECT coalesce(sum(slots), 0)::integer FROM worker
         WHERE seen_at > clock_timestamp() - interval '10 seconds') AS slots,
       ARRAY(SELECT model FROM parked_model WHERE until > clock_timestamp()) AS parked
