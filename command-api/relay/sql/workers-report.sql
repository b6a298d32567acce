-- in:  nothing
-- out: workers that reported in the last seconds, with their slots and the calls they run
SELECT count(*)::integer AS workers, coalesce(sum(slots), 0)::integer AS slots, coalesce(sum(running), 0)::integer AS running
  FROM worker WHERE seen_at > clock_timestamp() - interval '10 seconds'
