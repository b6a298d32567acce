-- out: one checksum of who used which model when, in version :v:, whatever numbers its users have there
-- Numbers are given in the order of first prompts; a stream that was set aside and replayed brings its user later.
SELECT count(*) || '/' || coalesce(sum(hashtextextended((m.level, m.bucket, m.model, m.emulated, n.user_id)::text, 0)::numeric), 0)
       || '/' || (SELECT count(*) FROM user_number_v:v:) AS checksum
  FROM model_user_v:v: m
 CROSS JOIN generate_series(0, 511) AS bit
  JOIN user_number_v:v: n ON n.number = 512 * m.piece + bit
 WHERE get_bit(m.users, bit) = 1
