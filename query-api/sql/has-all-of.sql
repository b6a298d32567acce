-- in:  $1 version that is served now, $2 version that was read until now
-- out: whether the first has folded all that the second has; no row when one of them has been dropped
SELECT n.position >= f.position AS has_all
  FROM cursor n JOIN cursor f ON f.name = n.name AND f.lane = n.lane
 WHERE n.name = 'prompts' AND n.lane = 0 AND n.version = $1 AND f.version = $2
