-- in:  $1 key ids
-- out: those that are neither revoked nor expired
SELECT key_id FROM api_key
 WHERE key_id = ANY ($1::uuid[]) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
