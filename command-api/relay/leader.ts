/**
 * One relay leads: whoever holds the advisory lock, on a connection of its own. That connection is closed by the
 * server after 3 s without a statement, so a leader that was stopped (paused process, dead network) loses the lock.
 */
import pg from 'pg';
import { createDispatchLedger, type DispatchLedger } from './dispatch-ledger.ts';

const LOCK = 7302;
const IDLE_SESSION_TIMEOUT = '3s';

export type Leadership = {
  /** Over the connection that holds the lock: lost with it. */
  ledger: DispatchLedger;
  readonly lost: boolean;
  release: () => Promise<void>;
};

/** Null when another process leads. Throws when Postgres cannot be reached. */
export async function tryLead(uri: string, name: string): Promise<Leadership | null> {
  const client = new pg.Client({
    connectionString: uri,
    application_name: name,
    // Prepared while the outbox is empty, a plan that reads every row would be kept until the next ANALYZE.
    options: `-c role=prompt_app -c statement_timeout=5000 -c timezone=UTC -c idle_session_timeout=${IDLE_SESSION_TIMEOUT} -c enable_seqscan=off`,
    connectionTimeoutMillis: 3_000,
    query_timeout: 6_000,
    keepAlive: true,
  });
  let lost = false;
  client.on('error', () => {
    lost = true; // the next statement fails and the relay's loop steps down
  });
  client.on('end', () => {
    lost = true;
  });
  await client.connect();
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
      if (lost) throw new Error('the connection that held the lock is gone');
      return (await client.query(statement)).rows;
    }),
    get lost() {
      return lost;
    },
    release: async () => {
      if (!lost) await client.end();
    },
  };
}
