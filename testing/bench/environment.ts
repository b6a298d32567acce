/** Throw-away servers for one run, durable as in production, and the processes measured on them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startPostgres } from '../../deployment/local/servers/postgres.ts';
import { startRedis } from '../../deployment/local/servers/redis.ts';
import { createKey } from '../../platform/postgres/api-keys.ts';
import { applyMigrations } from '../../platform/postgres/migrate.ts';
import '../../platform/postgres/pool.ts';
import { until } from '../kit/until.ts';

export const ROOT = join(import.meta.dirname, '../..');

export type BenchEnvironment = {
  postgresUri: string;
  redisUri: string;
  /** Of the servers' first processes. */
  pids: { postgres: number; redis: number };
  apiKey: string;
  query: <R extends pg.QueryResultRow>(text: string) => Promise<R[]>;
  /** A TypeScript file as a process; resolves when it has printed a line that matches. */
  run: (
    file: string,
    env: Record<string, string>,
    ready: RegExp,
    how?: { withinMs?: number; nodeOptions?: string[] },
  ) => Promise<{ match: RegExpMatchArray; end: () => Promise<void> }>;
  /** A database of a peer's own. */
  database: (name: string) => Promise<string>;
  /** One with our schema. */
  migratedDatabase: (name: string) => Promise<string>;
  /** Runs before the servers stop, the last first. */
  onStop: (release: () => Promise<void>) => void;
  stop: () => Promise<void>;
};

/** `profileDir`: where each measured process leaves a CPU profile when it ends. */
export async function startBenchEnvironment(profileDir: string | null = null): Promise<BenchEnvironment> {
  const dataDir = mkdtempSync(join(tmpdir(), 'orchestrator-bench-'));
  const [postgres, redis] = await Promise.all([
    startPostgres({ dataDir }),
    startRedis({ dataDir, cacheDir: join(ROOT, '.cache') }),
  ]);
  await applyMigrations(postgres.uri, join(ROOT, 'migrations'));
  const client = new pg.Client({ connectionString: postgres.uri });
  await client.connect();
  const { key } = await createKey(client, { userId: 'bench', role: 'admin', name: 'bench', expiresAt: null });
  const children = new Set<ChildProcess>();
  const releases: (() => Promise<void>)[] = [];
  const end = async (child: ChildProcess) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await new Promise((resolve) => child.once('exit', resolve));
  };
  const database = async (name: string) => {
    await client.query(`CREATE DATABASE ${name}`);
    return postgres.uri.replace(/\/[^/]*$/, `/${name}`);
  };
  const stopAll = async () => {
    const failures: unknown[] = [];
    for (const release of releases.splice(0).reverse()) await release().catch((error) => failures.push(error));
    for (const child of children) await end(child);
    await client.end();
    await Promise.all([postgres.stop(), redis.stop()]);
    rmSync(dataDir, { recursive: true, force: true });
    if (failures.length > 0) throw failures[0];
  };
  let stopped: Promise<void> | undefined;
  return {
    postgresUri: postgres.uri,
    redisUri: redis.uri,
    pids: { postgres: postgres.pid, redis: redis.pid },
    apiKey: key,
    query: async (text) => (await client.query(text)).rows,
    run: async (file, env, ready, { withinMs = 30_000, nodeOptions = [] } = {}) => {
      const profile = profileDir ? ['--cpu-prof', `--cpu-prof-dir=${profileDir}`] : [];
      const child = spawn(process.execPath, [...profile, ...nodeOptions, join(ROOT, file)], {
        cwd: ROOT,
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, POSTGRES_URI: postgres.uri, REDIS_URI: redis.uri, LOG_LEVEL: 'info', ...env },
      });
      children.add(child);
      let said = '';
      child.stdout.on('data', (piece) => {
        if (said.length < 100_000) said += piece;
      });
      const match = await until(`${file} is ready`, () => ready.exec(said), withinMs);
      return { match, end: () => end(child) };
    },
    database,
    migratedDatabase: async (name) => {
      const uri = await database(name);
      await applyMigrations(uri, join(ROOT, 'migrations'));
      return uri;
    },
    onStop: (release) => void releases.push(release),
    // After an interrupt it is asked for twice: by that, and by the measurement that fails of it.
    stop: () => {
      stopped ??= stopAll();
      return stopped;
    },
  };
}

export const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
