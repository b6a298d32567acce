-- out: of table :table: of version :v:: its number of rows and the sum of their 64-bit hashes; memory does not grow
SELECT count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) AS checksum FROM :table:_v:v: t
