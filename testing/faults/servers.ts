/** PostgreSQL and Redis that can be killed, stopped, and come back on another port with what they kept. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { startPostgres } from '../../deployment/local/servers/postgres.ts';
import { identify } from '../../deployment/local/servers/process-identity.ts';
import { startRedis } from '../../deployment/local/servers/redis.ts';
import { until } from '../kit/until.ts';
import type { Impairments } from './impairments.ts';

export type Running = { uri: string; pid: number; stop: () => Promise<void> };

export type Server = {
  readonly uri: string;
  /** Ends the server and all its children at once, as a power cut does; what the operating system has is kept. */
  kill: () => Promise<void>;
  /** Comes up again, on another port. */
  start: () => Promise<void>;
  signal: (signal: 'SIGSTOP' | 'SIGCONT') => void;
  /** Another one serves in its place: it is missed no longer. */
  replaced: () => void;
  /** Process ids; of PostgreSQL one for each connection, and its own. */
  children: () => number[];
  stop: () => Promise<void>;
};

export async function createServer(
  name: 'postgres' | 'redis',
  launch: () => Promise<Running>,
  onMoved: (uri: string) => void,
  impairments: Impairments,
): Promise<Server> {
  let running: Running = await launch();
  let back = () => {};
  const away = () => {
    back();
    back = impairments.begin(name, 'away');
  };
  const family = () => [running.pid, ...childrenOf(running.pid)];
  return {
    get uri() {
      return running.uri;
    },
    kill: async () => {
      const pids = family();
      away();
      for (const pid of pids) send(pid, 'SIGKILL');
      await until('the server and its children are gone', () => pids.every((pid) => identify(pid) === null));
    },
    start: async () => {
      running = await launch();
      onMoved(running.uri);
      back();
    },
    signal: (signal) => {
      if (signal === 'SIGSTOP') away();
      for (const pid of family()) send(pid, signal);
      if (signal === 'SIGCONT') back();
    },
    replaced: () => back(),
    children: () => childrenOf(running.pid),
    stop: () => running.stop(),
  };
}

/** Statements of its owner, each over a connection of its own. */
export const queryOn =
  (server: () => Pick<Server, 'uri'>) =>
  async <R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]> => {
    const client = new pg.Client({
      connectionString: server().uri,
      options: '-c timezone=UTC',
      connectionTimeoutMillis: 30_000,
      query_timeout: 120_000,
    });
    client.on('error', () => {}); // the statement rejects with it
    await client.connect();
    try {
      return (await client.query<R>(text, values)).rows;
    } finally {
      await client.end();
    }
  };

/** On real settings: what is tested is durability. The time of each commit is kept, for the checker. */
export const createPostgres = (
  dataDir: string,
  settings: Record<string, string>,
  onMoved: (uri: string) => void,
  impairments: Impairments,
) =>
  createServer(
    'postgres',
    () => startPostgres({ dataDir, settings: { max_connections: '300', track_commit_timestamp: 'on', ...settings } }),
    onMoved,
    impairments,
  );

export const createRedisServer = (
  dataDir: string,
  root: string,
  onMoved: (uri: string) => void,
  impairments: Impairments,
) => createServer('redis', () => startRedis({ dataDir, cacheDir: join(root, '.cache') }), onMoved, impairments);

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it has just ended by itself
  }
}

/** Direct children by /proc: PostgreSQL's backends have sessions of their own. */
function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent;
      } catch {
        return false; // ended while it was read
      }
    });
}
