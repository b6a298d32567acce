/** A posted ledger, spoilt in every way, and made anew: for tests of what readers see meanwhile. */
import type pg from 'pg';
import { postLedger } from '../../projector/ledger/audit.ts';
import { type Remade, type RemakeOptions, remakeLedger } from '../../projector/ledger/remake.ts';
import { withRebuildPool } from '../../projector/rebuild/rebuild.ts';
import { type ArchivedLog, createLog } from './archived-log.ts';
import type { After } from './database.ts';
import { appendRareHistory } from './histories.ts';

export const remake = (log: ArchivedLog, over: Partial<RemakeOptions> = {}): Promise<Remade> =>
  withRebuildPool({ uri: log.database.uri, max: 3 }, (pool, signal) =>
    remakeLedger(pool, { dryRun: false, eventsAtOnce: 40, onProgress: () => {}, signal, ...over }),
  );

/** All of it as one text, in one snapshot. */
const ALL = `SELECT (SELECT position FROM ledger_head)::text || chr(10) ||
  (SELECT string_agg(e::text, chr(10) ORDER BY prompt_id, attempt) FROM ledger_entry e) || chr(10) ||
  (SELECT string_agg(a::text, chr(10) ORDER BY user_id, model) FROM ledger_account a) AS text`;
export const read = async (db: Pick<pg.Pool | pg.PoolClient, 'query'>) =>
  (await db.query<{ text: string }>(ALL)).rows[0]!.text;

const NEXT = `SELECT count(*)::integer AS n FROM pg_class WHERE relkind = 'r' AND relname ~ '^ledger_.*(_next|_difference)$'`;
export const tablesBeside = async (log: ArchivedLog) => (await log.pool.query<{ n: number }>(NEXT)).rows[0]!.n;

const place = (state: string, offset: number, order = 'ASC') =>
  `(SELECT reserved_position FROM ledger_entry WHERE state = '${state}' ORDER BY 1 ${order} LIMIT 1 OFFSET ${offset})`;
/** By who owns the tables; it is posted from the beginning then. */
export const EMPTY = 'TRUNCATE ledger_entry, ledger_account; UPDATE ledger_head SET position = 0';

/** Everything a hand can do to it: cells, an entry gone, one that never was, positions exchanged, an account of nobody. */
export const SPOIL = `
  UPDATE ledger_entry SET nano_usd = nano_usd + 1000000 WHERE reserved_position = ${place('confirmed', 0, 'DESC')};
  UPDATE ledger_entry SET emulated = NOT emulated WHERE reserved_position = ${place('confirmed', 0)};
  UPDATE ledger_entry SET user_id = 'mallory' WHERE reserved_position = ${place('wasted', 0)};
  DELETE FROM ledger_entry WHERE reserved_position = ${place('confirmed', 5)};
  INSERT INTO ledger_entry (prompt_id, attempt, user_id, model, answered, emulated, nano_usd, corrected, reserved_position, reserved_at)
    VALUES ('00000000-0000-7000-8000-000000000000', 1, 'mallory', 'm', true, false, 5, false, -7, '2026-01-01T00:00:00Z');
  UPDATE ledger_account SET prompts = prompts + 1 WHERE (user_id, model) = (SELECT user_id, model FROM ledger_account ORDER BY user_id LIMIT 1);
  INSERT INTO ledger_account VALUES ('nobody', 'm', 1, 0, 7, 0, 0, 0, 0, 0);
  CREATE TEMP TABLE two AS SELECT ${place('wasted', 3)} AS a, ${place('wasted', 4)} AS b;
  UPDATE ledger_entry SET reserved_position = -1 FROM two WHERE reserved_position = a;
  UPDATE ledger_entry SET reserved_position = a FROM two WHERE reserved_position = b;
  UPDATE ledger_entry SET reserved_position = b FROM two WHERE reserved_position = -1;
  DROP TABLE two`;
export const SPOILT = 7;

export async function makeLog(t: After, prompts = 40): Promise<ArchivedLog> {
  const log = await createLog(t, prompts);
  await Promise.all(Array.from({ length: 14 }, (_, n) => appendRareHistory(log.append, n)));
  await log.project();
  await postLedger(log.pool);
  return log;
}
