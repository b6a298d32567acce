-- in:  $1 position after which, $2 position up to which, $3 events, $4 user id
-- out: whether more than so many of the user's events lie between (reads no more than that of the index)
SELECT EXISTS (
  SELECT 1 FROM event WHERE data ->> 'userId' = $4 AND position > $1 AND position <= $2
   ORDER BY position OFFSET $3 LIMIT 1) AS behind
