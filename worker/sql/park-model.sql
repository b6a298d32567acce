-- in:  $1 model, $2 reason, $3 seconds
-- No relay dispatches the model before then. A longer parking is not shortened.
INSERT INTO parked_model (model, reason, until) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (model) DO UPDATE SET reason = excluded.reason, until = greatest(parked_model.until, excluded.until)
