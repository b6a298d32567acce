-- in:  nothing
-- out: models nobody is sent to now, why, and for how many seconds more
SELECT model, reason, extract(epoch FROM until - clock_timestamp())::float8 AS seconds
  FROM parked_model WHERE until > clock_timestamp()
