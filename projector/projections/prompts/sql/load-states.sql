-- in:  $1 stream ids
-- out: the states folded so far
SELECT state FROM prompt_v:v: WHERE prompt_id = ANY ($1::uuid[])
