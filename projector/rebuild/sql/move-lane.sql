-- in:  $1 projection, $2 version, $3 lane, $4 position it must stand at, $5 position to move to, $6 time of the event
--      there, $7 events folded
-- out: one row when it moved; none when somebody else did
UPDATE cursor SET position = $5, as_of = $6, events = events + $7
 WHERE name = $1 AND version = $2 AND lane = $3 AND position = $4
RETURNING position
