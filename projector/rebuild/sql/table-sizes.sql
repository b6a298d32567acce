-- in:  $1, $2 two versions
-- out: each table of both, by its name without the version: how many bytes are to be read; of one with partitions, in all of them
SELECT m[1] AS name, sum(pg_table_size(c.oid))::bigint AS bytes
  FROM pg_class c, regexp_match(c.relname, '^(.*)_v(\d+)(_\d)?$') AS m
 WHERE c.relkind = 'r' AND m[2] IN ($1::text, $2::text)
 GROUP BY 1
