-- in:  $1 number of a version of the projection `prompts`
-- out: the name of its prices (null: as charged), whether it is whole, and when the last event folded in was recorded; no row
--      where there is none
SELECT v.prices, v.status = 'ready' AS is_whole, c.as_of
  FROM projection_version v
  JOIN cursor c ON c.name = v.name AND c.version = v.version AND c.lane = 0
 WHERE v.name = 'prompts' AND v.version = $1
