-- in:  $1 prompt ids
-- out: the dispatch numbers their outbox rows carry now; no row: the prompt is done
SELECT prompt_id, dispatch FROM outbox WHERE prompt_id = ANY ($1::uuid[])
