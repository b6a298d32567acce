-- in:  $1 projection, $2 version
-- out: where its cursor stands, and nobody moves it before this transaction ends; no row when the version is gone
SELECT position FROM cursor WHERE name = $1 AND version = $2 AND lane = 0 FOR UPDATE
