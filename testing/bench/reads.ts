/** Reads of statistics and history of ten thousand prompts beside those of many times as many, on one server in one run. */
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '../../deployment/local/servers/postgres.ts';
import { startRedis } from '../../deployment/local/servers/redis.ts';
import { createKey } from '../../platform/postgres/api-keys.ts';
import { applyMigrations } from '../../platform/postgres/migrate.ts';
import { type Service, startService } from '../kit/process.ts';
import { createRandom } from '../kit/random.ts';
import { ROOT } from './environment.ts';
import { type Passes, type Server, timePasses } from './reads/ask.ts';
import { asOwner, checkMultiplied, makeBase, withPool } from './reads/base.ts';
import { multiply } from './reads/multiply.ts';
import { drawer, questions } from './reads/questions.ts';
import { drawPlaces } from './reads/sample.ts';
import { type Measured, remarksOf, tableOf } from './reads/table.ts';

export type ReadsOptions = {
  prompts: number;
  users: number;
  /** Prompts of the smaller log. */
  base: number;
  /** Of each kind. */
  ask: number;
  /** Kinds that have this in their name. */
  only: string;
};

const DAYS = 60;
const CHECKED_COPIES = 3;
/** Times what a copy takes: room to sort, and for what is written meanwhile. */
const ROOM = 1.15;
const SEED = 1;

/** Nothing of it has to survive a crash. */
const LOADING = {
  shared_buffers: '1GB',
  wal_level: 'minimal',
  max_wal_senders: '0',
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  max_wal_size: '8GB',
  checkpoint_timeout: '1h',
  autovacuum: 'off',
  maintenance_work_mem: '1GB',
  max_parallel_maintenance_workers: '1',
  work_mem: '256MB',
};
const SERVING = { shared_buffers: '1GB' };

/** Copies of the small log that give so many prompts and users. Throws when none do. */
export function copiesOf({ prompts, users, base }: Pick<ReadsOptions, 'prompts' | 'users' | 'base'>) {
  const copies = prompts / base;
  const baseUsers = users / copies;
  if (!Number.isInteger(copies) || copies < 1 || !Number.isInteger(baseUsers) || baseUsers < 1)
    throw new Error(`--prompts: a multiple of ${base}; --users: as many for each of these`);
  return { copies, baseUsers };
}

/** False when a read was refused. Prints what it does and the table; the folder goes in any case. */
export async function measureReads(options: ReadsOptions): Promise<boolean> {
  const { copies, baseUsers } = copiesOf(options);
  const dataDir = mkdtempSync(join(tmpdir(), 'orchestrator-reads-'));
  const remove = () => rmSync(dataDir, { recursive: true, force: true });
  process.once('exit', remove); // also after an error that nobody caught
  const releases: (() => Promise<void>)[] = [];
  let released: Promise<void> | undefined;
  const release = () => {
    released ??= (async () => {
      for (const one of releases.reverse()) await one();
      remove();
      process.off('exit', remove);
    })();
    return released;
  };
  const interrupted = () => void release().finally(() => process.exit(130));
  process.on('SIGINT', interrupted).on('SIGTERM', interrupted);
  const startedAt = performance.now();
  const tell = (what: string) =>
    console.log(`${((performance.now() - startedAt) / 1000).toFixed(0).padStart(5)} s  ${what}`);
  try {
    return await run({ ...options, copies, baseUsers, dataDir, releases, tell });
  } finally {
    await release();
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}

type Run = Pick<ReadsOptions, 'base' | 'ask' | 'only'> & {
  copies: number;
  baseUsers: number;
  dataDir: string;
  releases: (() => Promise<void>)[];
  tell: (what: string) => void;
};

async function run({ base, copies, baseUsers, ask, only, dataDir, releases, tell }: Run): Promise<boolean> {
  let postgres = await startPostgres({ dataDir, settings: LOADING });
  releases.push(() => postgres.stop());
  const uriOf = (name: string) => postgres.uri.replace(/\/[^/]*$/, `/${name}`);
  const copyOfBase = (name: string) =>
    asOwner(postgres.uri, `CREATE DATABASE ${name} TEMPLATE base STRATEGY file_copy`);

  await asOwner(postgres.uri, 'CREATE DATABASE base');
  await applyMigrations(uriOf('base'), join(ROOT, 'migrations'));
  const apiKey = await withPool(uriOf('base'), async (pool) => {
    return (await createKey(pool, { userId: 'bench', role: 'admin', name: 'bench', expiresAt: null })).key;
  });
  await makeBase({ uri: uriOf('base'), prompts: base, users: baseUsers, days: DAYS });
  const size = await sizeOf(uriOf('base'));
  tell(`${base} prompts of ${baseUsers} users, folded and posted: ${mib(size.all)}`);

  await copyOfBase('checked');
  const shape = { users: baseUsers, prompts: base };
  await multiply({ uri: uriOf('checked'), copies: CHECKED_COPIES, ...shape, tell: () => {} });
  const { differing, sums, ledgerIsPosted } = await checkMultiplied(uriOf('checked'));
  if (differing.length > 0 || sums !== 0 || !ledgerIsPosted)
    throw new Error(`multiplied by ${CHECKED_COPIES}: differing ${differing}, ${sums} sums, ledger ${ledgerIsPosted}`);
  await asOwner(postgres.uri, 'DROP DATABASE checked');
  tell(`${CHECKED_COPIES} times as many equal a rebuild, byte for byte; the ledger equals what is posted, and agrees`);

  const { bavail, bsize } = statfsSync(dataDir);
  const needed = size.copied * copies * ROOM;
  if (bavail * bsize < needed) throw new Error(`${mib(needed)} of disk are needed, ${mib(bavail * bsize)} are free`);
  await copyOfBase('large');
  const loadedFrom = performance.now();
  const events = await multiply({ uri: uriOf('large'), copies, ...shape, tell });
  await asOwner(uriOf('large'), 'CHECKPOINT'); // stopping has a time limit
  await postgres.stop();
  postgres = await startPostgres({ dataDir, settings: SERVING });
  tell('served with ordinary settings; statistics are gathered');
  for (const name of ['base', 'large']) await asOwner(uriOf(name), 'VACUUM (FREEZE, ANALYZE)');
  const seconds = (performance.now() - loadedFrom) / 1000;
  const large = await sizeOf(uriOf('large'));
  tell(`${copies * base} prompts, ${events} events, ${mib(large.all)}, loaded in ${seconds.toFixed(0)} s`);

  const redis = await startRedis({ dataDir, cacheDir: join(ROOT, '.cache') });
  releases.push(() => redis.stop());
  const serve = async (name: string): Promise<Server> => {
    const env = { POSTGRES_URI: uriOf(name), REDIS_URI: redis.uri, CACHE_TTL_MINUTES: '0', LOG_LEVEL: 'info' };
    return { port: (await startQueryApi(releases, env)).port, apiKey };
  };
  const [smallServer, largeServer] = [await serve('base'), await serve('large')];
  const measured = await measureAll(
    { server: smallServer, uri: uriOf('base') },
    { server: largeServer, uri: uriOf('large') },
    { ask, only, tell },
  );
  console.log(`\n${tableOf(measured, { small: base, large: copies * base, ask })}\n`);
  console.log(`${events} events, ${mib(large.all)} on disk (${large.tables}), loaded in ${seconds.toFixed(0)} s.`);
  const over = measured.filter((one) => remarksOf(one, ask).length > 0).length;
  console.log(`${measured.length} kinds of reads, ${ask} of each; ${over} with a remark.`);
  return measured.every(({ small, large: of }) => small.refused.size === 0 && of.refused.size === 0);
}

/** Its assets are not read here, but their folder has to be there. */
async function startQueryApi(releases: Run['releases'], env: Record<string, string>): Promise<Service> {
  mkdirSync(join(ROOT, 'console/dist'), { recursive: true });
  return startService({ after: (fn) => void releases.push(fn) }, 'query-api', env, 120_000);
}

type Side = { server: Server; uri: string };

/** Both sizes in turn, kind by kind: what else the machine does meets both. */
async function measureAll(
  small: Side,
  large: Side,
  { ask: count, only, tell }: Pick<Run, 'ask' | 'only' | 'tell'>,
): Promise<Measured[]> {
  const prepared = await Promise.all(
    [small, large].map(async ({ uri, server }) => {
      const random = createRandom(SEED);
      const sample = await drawPlaces(uri, random);
      return { server, draw: drawer(sample, random), places: sample.places, random };
    }),
  );
  const measured: Measured[] = [];
  for (const { what, ask } of questions.filter(({ what }) => what.includes(only))) {
    const passes: Passes[] = [];
    for (const { server, draw, places, random } of prepared) {
      const paths = Array.from({ length: count }, () => ask(random.pick(places), draw));
      passes.push(await timePasses(server, paths));
    }
    measured.push({ what, small: passes[0]!, large: passes[1]! });
    tell(`${what}: ${passes.map(({ again }) => `${again.p50.toFixed(1)} ms`).join(' and ')}`);
  }
  return measured;
}

const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20).toLocaleString('en')} MiB`;

/** Bytes, with indexes: of all tables, of those that grow with copies, and of the largest by name. */
async function sizeOf(uri: string): Promise<{ all: number; copied: number; tables: string }> {
  const rows = await asOwner<{ name: string; bytes: string }>(
    uri,
    `SELECT coalesce(i.inhparent, c.oid)::regclass::text AS name, sum(pg_total_relation_size(c.oid))::text AS bytes
       FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
      WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
      GROUP BY 1 ORDER BY sum(pg_total_relation_size(c.oid)) DESC`,
  );
  const sum = (some: typeof rows) => some.reduce((bytes, row) => bytes + Number(row.bytes), 0);
  const tables = rows.slice(0, 6).map(({ name, bytes }) => `${name} ${mib(Number(bytes))}`);
  return {
    all: sum(rows),
    copied: sum(rows.filter(({ name }) => !name.startsWith('model_'))),
    tables: tables.join(', '),
  };
}
