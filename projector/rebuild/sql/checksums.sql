-- out: for each table of version :v: its number of rows and the sum of their 64-bit hashes; memory does not grow
SELECT 'prompt' AS name, count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) AS checksum FROM prompt_v:v: t
UNION ALL SELECT 'prompt_text', count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM prompt_text_v:v: t
UNION ALL SELECT 'usage', count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM usage_v:v: t
UNION ALL SELECT 'user_usage', count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM user_usage_v:v: t
UNION ALL SELECT 'model_usage', count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM model_usage_v:v: t
UNION ALL SELECT 'user_number', count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM user_number_v:v: t
UNION ALL SELECT 'model_user', count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM model_user_v:v: t
UNION ALL SELECT 'latency', count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM latency_v:v: t
UNION ALL SELECT 'model_latency', count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM model_latency_v:v: t
UNION ALL SELECT 'real_use', count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM real_use_v:v: t
