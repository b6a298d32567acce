-- What is not the same in the ledger that is served and in the one that was made beside, the largest differences first.
-- in:  $1 how many
-- out: what (entry | account), prompt_id and attempt of an entry, user_id, model, nano_usd: by how much; fields: column →
--      [what is served, what the log gives], of those that differ, all of them where one side has none. Each row has how many
--      entries and accounts differ, and by how much in all. No row: nothing differs.
-- Money that stands in another state, or on the other side of `emulated`, differs by what is there and by what is missing here.
WITH found AS (
  SELECT 'entry' AS what, prompt_id, attempt, coalesce(n.user_id, e.user_id) AS user_id, coalesce(n.model, e.model) AS model,
         CASE WHEN e.state = n.state AND e.emulated = n.emulated
              THEN abs(coalesce(e.nano_usd, e.bound_nano_usd, 0)::numeric - coalesce(n.nano_usd, n.bound_nano_usd, 0))
              ELSE coalesce(e.nano_usd, e.bound_nano_usd, 0)::numeric + coalesce(n.nano_usd, n.bound_nano_usd, 0) END AS nano_usd
    FROM ledger_entry_difference
    LEFT JOIN ledger_entry e USING (prompt_id, attempt) LEFT JOIN ledger_entry_next n USING (prompt_id, attempt)
  UNION ALL
  SELECT 'account', NULL, NULL, user_id, model,
         (SELECT sum(abs(served - log)) FROM (VALUES
            (a.reserved_nano_usd::numeric, n.reserved_nano_usd::numeric),
            (a.confirmed_nano_usd::numeric - a.notional_confirmed_nano_usd, n.confirmed_nano_usd::numeric - n.notional_confirmed_nano_usd),
            (a.notional_confirmed_nano_usd::numeric, n.notional_confirmed_nano_usd::numeric),
            (a.wasted_nano_usd::numeric - a.notional_wasted_nano_usd, n.wasted_nano_usd::numeric - n.notional_wasted_nano_usd),
            (a.notional_wasted_nano_usd::numeric, n.notional_wasted_nano_usd::numeric),
            (a.unknown_bound_nano_usd::numeric - a.notional_unknown_bound_nano_usd,
             n.unknown_bound_nano_usd::numeric - n.notional_unknown_bound_nano_usd),
            (a.notional_unknown_bound_nano_usd::numeric, n.notional_unknown_bound_nano_usd::numeric)) s(x, y)
           CROSS JOIN LATERAL (SELECT coalesce(x, 0) AS served, coalesce(y, 0) AS log) z)
    FROM ledger_account_difference
    LEFT JOIN ledger_account a USING (user_id, model) LEFT JOIN ledger_account_next n USING (user_id, model)
), largest AS (
  SELECT *, count(*) FILTER (WHERE what = 'entry') OVER () AS entries, count(*) FILTER (WHERE what = 'account') OVER () AS accounts,
         sum(nano_usd) FILTER (WHERE what = 'entry') OVER () AS entries_nano_usd,
         sum(nano_usd) FILTER (WHERE what = 'account') OVER () AS accounts_nano_usd
    FROM found ORDER BY nano_usd DESC, what DESC, prompt_id, attempt, user_id, model LIMIT $1
)
SELECT what, prompt_id, attempt, user_id, model, nano_usd::text, entries, accounts,
       coalesce(entries_nano_usd, 0)::text AS entries_nano_usd, coalesce(accounts_nano_usd, 0)::text AS accounts_nano_usd,
       (SELECT jsonb_object_agg(key, jsonb_build_array(s.value, l.value))
          FROM jsonb_each(CASE what WHEN 'entry'
                 THEN (SELECT to_jsonb(e) FROM ledger_entry e WHERE e.prompt_id = t.prompt_id AND e.attempt = t.attempt)
                 ELSE (SELECT to_jsonb(a) FROM ledger_account a WHERE a.user_id = t.user_id AND a.model = t.model) END) s
          FULL JOIN jsonb_each(CASE what WHEN 'entry'
                 THEN (SELECT to_jsonb(n) FROM ledger_entry_next n WHERE n.prompt_id = t.prompt_id AND n.attempt = t.attempt)
                 ELSE (SELECT to_jsonb(n) FROM ledger_account_next n WHERE n.user_id = t.user_id AND n.model = t.model) END) l
         USING (key)
         WHERE s.value IS DISTINCT FROM l.value) AS fields
  FROM largest t ORDER BY t.nano_usd DESC, what DESC, prompt_id, attempt, user_id, model
