/**
 * One relay leads: whoever holds the advisory lock, on a connection of its own. That connection is closed by the
 * server after 3 s without a statement, so a leader that was stopped (paused process, dead network) loses the lock.
 */
import type pg from 'pg';
import { openClient } from '../../platform/postgres/client.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { createDispatchLedger, type DispatchLedger } from './dispatch-ledger.ts';

const LOCK = 7302;
const IS_LED = readSql(import.meta.url, 'sql/is-led.sql');
const IDLE_SESSION_TIMEOUT = '3s';
/** With its margin 3 s: a half-open connection is found out when the server gives the lock to another. */
const STATEMENT_TIMEOUT_MS = 2_500;

export type Leadership = {
  /** Over the connection that holds the lock: lost with it. */
  ledger: DispatchLedger;
  readonly lost: boolean;
  release: () => Promise<void>;
};

/** Whether anybody leads, here or elsewhere. */
export async function isLed(db: Pick<pg.Pool, 'query'>): Promise<boolean> {
  const { rows } = await db.query<{ led: boolean }>({ name: 'relay-is-led', text: IS_LED });
  return rows[0]?.led === true;
}

/** Null when another process leads. Throws when Postgres cannot be reached. */
export async function tryLead(uri: string, name: string): Promise<Leadership | null> {
  const client = await openClient({
    uri,
    name,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    primary: true, // an advisory lock is given on a standby, too
    settings: {
      role: 'prompt_app',
      idle_session_timeout: IDLE_SESSION_TIMEOUT,
      // Prepared while the outbox is empty, a plan that reads every row would be kept until the next ANALYZE.
      enable_seqscan: 'off',
    },
  });
  try {
    const { rows } = await client.query<{ led: boolean }>('SELECT pg_try_advisory_lock($1) AS led', [LOCK]);
    if (!rows[0]?.led) {
      await client.end();
      return null;
    }
  } catch (error) {
    await client.end();
    throw error;
  }
  return {
    ledger: createDispatchLedger(async (statement) => {
      if (client.lost) throw new Error('the connection that held the lock is gone');
      return (await client.query(statement)).rows;
    }),
    get lost() {
      return client.lost;
    },
    release: client.end,
  };
}
