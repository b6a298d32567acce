/**
 * A single connection, for whoever holds something by it (a lock, a session) or is done in a moment. Like a pool's it
 * finds out within a time that nobody is there: a half-open socket never says so.
 */
import type pg from 'pg';
import { breakOff } from './break-off.ts';
import { JIT_OFF } from './pool.ts'; // and with it how values are read
import { ReportingClient, refuseStandby } from './primary.ts';
import { isConnectionLoss } from './sqlstate.ts';

export type ClientOptions = {
  uri: string;
  /** Shows in pg_stat_activity. */
  name: string;
  connectTimeoutMs?: number;
  /** One statement's time, milliseconds: the server ends it then, and the client soon after that. */
  statementTimeoutMs: number;
  /** Further settings of the session, e.g. `{ role: 'prompt_app' }`. */
  settings?: Record<string, string>;
  /** A connection to a standby is refused with `StandbyError`. */
  primary?: boolean;
};

export type SingleClient = {
  query: pg.Client['query'];
  /** For those that take a client of pg; what is asked past `query` does not find `lost` out. */
  client: pg.Client;
  readonly lost: boolean;
  /** Resolves within a second, whoever is there. */
  end: () => Promise<void>;
};

/** So much longer than on the server: its answer to a statement it ended is on its way. */
const MARGIN_MS = 500;
const END_WITHIN_MS = 1_000;

export async function openClient(options: ClientOptions): Promise<SingleClient> {
  const { statementTimeoutMs } = options;
  const settings = { timezone: 'UTC', statement_timeout: String(statementTimeoutMs), ...options.settings };
  const client = new ReportingClient({
    connectionString: options.uri,
    application_name: options.name,
    options: [JIT_OFF, ...Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`)].join(' '),
    connectionTimeoutMillis: options.connectTimeoutMs ?? 3_000,
    query_timeout: statementTimeoutMs + MARGIN_MS,
    keepAlive: true,
  });
  let lost = false;
  const onLoss = () => {
    lost = true;
  };
  client.on('error', onLoss); // unheard, it would end the process; the statement under way rejects by itself
  client.on('end', onLoss);
  const end = async (): Promise<void> => {
    const forced = setTimeout(() => breakOff(client), END_WITHIN_MS);
    try {
      await client.end();
    } finally {
      clearTimeout(forced);
    }
  };
  try {
    await client.connect();
    if (options.primary) refuseStandby(client);
  } catch (error) {
    breakOff(client);
    throw error;
  }
  const query = (async (...args: Parameters<pg.Client['query']>) => {
    try {
      return await client.query(...args);
    } catch (error) {
      if (isConnectionLoss(error)) {
        onLoss();
        breakOff(client); // what waits for an answer on it waits for ever
      }
      throw error;
    }
  }) as unknown as pg.Client['query'];
  return {
    query,
    client,
    get lost() {
      return lost;
    },
    end,
  };
}
