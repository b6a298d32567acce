-- out: of each index that is being built on a large table of version :v:: the table, the index, and how much of it is done, 0 to 1
-- The words' index is done when their table is read; the others are sorted and written then. Only who logged in may see it.
SELECT c.relname AS "table", p.index_relid::text AS index,
       CASE WHEN p.tuples_total > 0 THEN (1 + p.tuples_done::float8 / p.tuples_total) / 2
            WHEN p.blocks_total = 0 THEN 0
            ELSE p.blocks_done::float8 / p.blocks_total / CASE c.relname WHEN 'prompt_text_v:v:' THEN 1 ELSE 2 END
       END AS share
  FROM pg_stat_progress_create_index p JOIN pg_class c ON c.oid = p.relid
 WHERE c.relname IN ('prompt_v:v:', 'prompt_text_v:v:')
