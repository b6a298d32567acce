-- in:  $1 worker id
-- out: nothing; the relay counts its slots no longer
DELETE FROM worker WHERE worker_id = $1
