-- out: one checksum for each table of version :v:: number of rows and sum of their 64-bit hashes; memory does not grow
SELECT count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) AS checksum FROM prompt_v:v: t
UNION ALL SELECT count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM prompt_text_v:v: t
UNION ALL SELECT count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM usage_v:v: t
UNION ALL SELECT count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM usage_total_v:v: t
UNION ALL SELECT count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM latency_v:v: t
