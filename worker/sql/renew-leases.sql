-- in:  $1 prompt ids, $2 tokens (parallel), $3 lease in seconds
-- out: prompt_id, verdict: renewed | closing | busy | lost (migrations/4_dispatch_and_leases.sql)
SELECT prompt_id, verdict FROM renew_leases_v1($1::uuid[], $2::uuid[], $3)
