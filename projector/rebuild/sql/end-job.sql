-- in:  $1 id of a rebuild, $2 outcome, $3 version or null for the one told last, $4 error or null
UPDATE rebuild
   SET outcome = $2, version = coalesce($3, version), error = $4, ended_at = clock_timestamp(), told_at = clock_timestamp()
 WHERE id = $1 AND ended_at IS NULL
