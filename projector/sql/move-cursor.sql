-- in:  $1 projection, $2 version, $3 position it must stand at, $4 position to move to, $5 time of the event there
-- out: one row when it moved; none when another runner did
UPDATE cursor SET position = $4, as_of = $5 WHERE name = $1 AND version = $2 AND lane = 0 AND position = $3
RETURNING position
