-- out: a row for each projection: its name, the served version, where that and the log stand; all versions; the open
--      rebuild and the one that ended last, null where there is none
SELECT p.name, p.live_version AS version, h.position AS head,
       (SELECT json_agg(json_build_object(
            'version', v.version, 'status', v.status, 'served', v.version = p.live_version, 'frozen', v.frozen,
            'target', v.target, 'prices', v.prices, 'verdict', v.verdict,
            'createdAt', v.created_at, 'readyAt', v.ready_at,
            -- in its bulk phase: where its slowest lane is
            'position', (SELECT min(c.position) FROM cursor c WHERE c.name = v.name AND c.version = v.version
                          AND (c.lane > 0) = (v.status = 'building')),
            'parkedStreams', (SELECT count(*) FROM parked_stream s WHERE s.name = v.name AND s.version = v.version)
          ) ORDER BY v.version) FROM projection_version v WHERE v.name = p.name) AS versions,
       (SELECT row_to_json(r) FROM rebuild r WHERE r.name = p.name AND r.ended_at IS NULL) AS open,
       (SELECT row_to_json(r) FROM rebuild r WHERE r.name = p.name AND r.ended_at IS NOT NULL
         ORDER BY r.ended_at DESC LIMIT 1) AS last
  FROM projection p, log_head h
 ORDER BY p.name
