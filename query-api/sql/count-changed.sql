-- in:  $1 position P; $2 user id, $3 model: null for any
-- out: how many prompts were under way at P: submitted up to it and changed since
SELECT count(*) AS prompts FROM prompt_v{{version}}
 WHERE submitted_position <= $1 AND position > $1
   AND ($2::text IS NULL OR user_id = $2) AND ($3::text IS NULL OR model = $3)
