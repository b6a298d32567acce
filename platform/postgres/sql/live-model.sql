-- out: the served version of the `prompts` projection, its cursor, and the time of the last event folded in;
--      no row while no version is served
SELECT version, position, as_of FROM live_projection WHERE name = 'prompts'
