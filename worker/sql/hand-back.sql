-- in:  $1 prompt id
-- out: 1 when its row waits for the relay again; 0 when an attempt runs, or the row is gone
SELECT unstamp_v1(ARRAY[$1::uuid], NULL) AS rows
