-- in:  $1 projection, $2 id after which the page begins, null for the first, $3 rows at most
-- out: its rebuilds, newest first: ids are made in the order of time
SELECT * FROM rebuild WHERE name = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
