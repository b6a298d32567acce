import type { EventEmitter } from 'node:events';
import pg from 'pg';
import { breakOff } from './break-off.ts';
import { ReportingClient, refuseStandby } from './primary.ts';

export type PoolOptions = {
  uri: string;
  /** Shows in pg_stat_activity. */
  name: string;
  max: number;
  /** One statement's time on the server, milliseconds. */
  statementTimeoutMs?: number;
  /** A whole transaction's; frees the append lock when a client is paused between Execute and Sync. */
  transactionTimeoutMs?: number;
  /** Until a connection is given, milliseconds: by default so few that a request can still be answered. */
  connectTimeoutMs?: number;
  /** How often a running statement looks whether its client is still there, milliseconds; else it runs to its end. */
  clientCheckMs?: number;
  /** A connection to a standby is refused with `StandbyError`: nothing is decided on a state that may be old. */
  primary?: boolean;
  onError: (error: Error) => void;
};

/** The services' role: it reads the log, and writes it only through the functions of migrations/. */
const ROLE = 'prompt_app';

/**
 * Sums over a long range, and searches, are rated dear enough to be compiled first (`jit_above_cost`). That pays for what runs
 * for seconds, and nothing here may. The official images have LLVM and it is on by default; the embedded server has none, so
 * that no measurement made with it shows what this spares.
 */
export const JIT_OFF = '-c jit=off';

export function createPool(options: PoolOptions): pg.Pool {
  const settings = [
    `-c role=${ROLE}`,
    `-c statement_timeout=${options.statementTimeoutMs ?? 10_000}`,
    `-c transaction_timeout=${options.transactionTimeoutMs ?? 15_000}`,
    '-c idle_in_transaction_session_timeout=10000',
    '-c timezone=UTC',
    JIT_OFF,
    ...(options.clientCheckMs === undefined ? [] : [`-c client_connection_check_interval=${options.clientCheckMs}`]),
  ];
  const pool = new pg.Pool({
    connectionString: options.uri,
    application_name: options.name,
    options: settings.join(' '),
    max: options.max,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 3_000,
    // Without it a half-open socket keeps a query waiting for ever.
    query_timeout: (options.statementTimeoutMs ?? 10_000) + 1_000,
    keepAlive: true,
    idleTimeoutMillis: 60_000,
    ...(options.primary && { Client: ReportingClient, onConnect: refuseStandby }),
  });
  // An idle connection's error (server restart) has no query to reject: unheard, it would end the process.
  pool.on('error', options.onError);
  // The same for a connection that is lent out but between two queries, as inside a transaction.
  pool.on('connect', (client) => client.on('error', options.onError));
  giveUpTheSilent(pool);
  return pool;
}

/**
 * One connection that does not answer, not even that the statement's time is over, is half-open, and so are those that
 * stood idle beside it: without this each of them would cost another statement its time-out.
 */
function giveUpTheSilent(pool: pg.Pool): void {
  const idle = new Set<pg.PoolClient>();
  const breakOffIdle = () => {
    for (const client of [...idle]) {
      // The pool drops it at once; the socket's own end would come when the next statement was given to it.
      (client as pg.ClientBase & EventEmitter).emit('error', new Error('Connection terminated: it is silent'));
      breakOff(client);
    }
    idle.clear();
  };
  pool.on('acquire', (client) => idle.delete(client));
  pool.on('remove', (client) => idle.delete(client));
  pool.on('release', (error, client) => {
    if (!error) idle.add(client);
    else if (error instanceof Error && error.message === 'Query read timeout') breakOffIdle();
  });
}

// int8 → number: positions, counts and nano-dollars stay below 2^53, which the schemas of contracts/ assert.
pg.types.setTypeParser(pg.types.builtins.INT8, toSafeInteger);
// timestamptz → RFC 3339 UTC with milliseconds, the form of every time in the system.
pg.types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, toRfc3339);

function toSafeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`int8 ${text} does not fit a number`);
  return value;
}

function toRfc3339(text: string): string {
  // '2026-11-23 10:14:00.123456+00' — the session's time zone is UTC. Cut rather than parsed: a row of the log has one.
  if (text[10] === ' ' && text.endsWith('+00')) {
    return `${text.slice(0, 10)}T${text.slice(11, 19)}.${text.slice(20, -3).slice(0, 3).padEnd(3, '0')}Z`;
  }
  if (text === '-infinity' || text === 'infinity') return text;
  throw new RangeError(`timestamptz ${text} is not of the years 1 to 9999 in UTC`);
}
