/** The logs that are read: two small ones and a large one, in databases of one server, with their archives. */
import { join } from 'node:path';
import { clusterOf, type RunningServer, startPostgres } from '../../../deployment/local/servers/postgres.ts';
import { createKey } from '../../../platform/postgres/api-keys.ts';
import { applyMigrations } from '../../../platform/postgres/migrate.ts';
import { ROOT } from '../environment.ts';
import { asOwner, daysIn, makeBase, withPool } from './base.ts';
import { archiveByTool } from './check.ts';
import { checkRoom, folderBytes, gigabytes, sumOf, type TableSize, tableSizes, watchMost } from './disk.ts';
import { multiply } from './multiply.ts';
import { PROVED_COPIES, prove } from './prove.ts';

export type Loading = {
  /** Prompts of a small log, its users and the large one's; copies of the small one. */
  base: number;
  baseUsers: number;
  users: number;
  copies: number;
  archivedDays: number;
  dataDir: string;
  /** Run when everything ends, the last first. */
  releases: (() => Promise<void>)[];
  tell: (what: string) => void;
};

export type Loaded = {
  /** Of the log that was multiplied; of one with as many users as the large one; of the large one. */
  uris: { few: string; many: string; large: string };
  apiKey: string;
  events: number;
  floor: number;
  seconds: number;
  tables: TableSize[];
  archiveBytes: number;
  mostBytes: number;
};

export const DAYS = 60;
const WATCH_EVERY_MS = 5_000;

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

export async function load(options: Loading): Promise<Loaded> {
  const { base, baseUsers, users, copies, archivedDays, dataDir, releases, tell } = options;
  let postgres: RunningServer = await startPostgres({ dataDir, settings: LOADING });
  releases.push(() => postgres.stop());
  const { cluster } = await clusterOf(dataDir);
  const inUse = () => folderBytes(dataDir) + (cluster.startsWith(dataDir) ? 0 : folderBytes(cluster));
  const uriOf = (name: string) => postgres.uri.replace(/\/[^/]*$/, `/${name}`);
  const copyOf = async (name: string, template = 'few') => {
    await asOwner(postgres.uri, `CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY file_copy`);
    return uriOf(name);
  };
  const archiveOf = async (name: string) =>
    archivedDays === 0
      ? null
      : { dir: join(dataDir, `archive-${name}`), before: await daysIn(uriOf(name), archivedDays) };

  const apiKey = await migrated(postgres.uri, uriOf('few'));
  await copyOf('many');
  await makeBase({ uri: uriOf('few'), prompts: base, users: baseUsers, days: DAYS });
  await makeBase({ uri: uriOf('many'), prompts: base, users, days: DAYS, evenly: true });
  tell(`${base} prompts of ${baseUsers} users and of ${users}, folded and posted`);

  const shape = { users: baseUsers, prompts: base };
  const drop = async (name: string) => void (await asOwner(postgres.uri, `DROP DATABASE ${name}`));
  const archive = await archiveOf('few');
  const bytesOfCopy = await prove({ ...shape, copyOf, drop, before: archive?.before ?? null, folder: dataDir });
  tell(
    `${PROVED_COPIES} times as many are what is folded, posted${archive ? ' and archived' : ''} of them; ${gigabytes(bytesOfCopy * copies)} are to come`,
  );
  checkRoom(cluster, bytesOfCopy * copies);

  await copyOf('large');
  const most = watchMost(inUse, WATCH_EVERY_MS);
  const loadedFrom = performance.now();
  const largeArchive = archive && { ...archive, dir: join(dataDir, 'archive-large') };
  const events = await multiply({ uri: uriOf('large'), copies, ...shape, archive: largeArchive, tell });
  const mostBytes = await most();
  await asOwner(uriOf('large'), 'CHECKPOINT'); // stopping has a time limit
  await postgres.stop();
  postgres = await startPostgres({ dataDir, settings: SERVING });
  tell('served with ordinary settings; statistics are gathered');
  // Rows were written frozen: what is left to do is little, and no index has anything to be cleaned of.
  await asOwner(uriOf('large'), 'VACUUM (FREEZE, ANALYZE, INDEX_CLEANUP off)');
  const seconds = (performance.now() - loadedFrom) / 1000;
  for (const name of ['few', 'many']) {
    const own = await archiveOf(name);
    if (own) await archiveByTool(uriOf(name), own);
    await asOwner(uriOf(name), 'VACUUM (FREEZE, ANALYZE)');
  }
  const tables = await tableSizes(uriOf('large'));
  const archiveBytes = largeArchive ? folderBytes(largeArchive.dir) : 0;
  const [head] = await asOwner<{ floor: string }>(uriOf('large'), 'SELECT floor::text FROM log_head');
  tell(
    `${copies * base} prompts, ${events} events, ${gigabytes(sumOf(tables) + archiveBytes)}, loaded in ${seconds.toFixed(0)} s`,
  );
  const uris = { few: uriOf('few'), many: uriOf('many'), large: uriOf('large') };
  return { uris, apiKey, events, floor: Number(head!.floor), seconds, tables, archiveBytes, mostBytes };
}

/** Out: an admin's key. */
async function migrated(server: string, uri: string): Promise<string> {
  await asOwner(server, `CREATE DATABASE ${new URL(uri).pathname.slice(1)}`);
  await applyMigrations(uri, join(ROOT, 'migrations'));
  return withPool(uri, async (pool) => {
    return (await createKey(pool, { userId: 'bench', role: 'admin', name: 'bench', expiresAt: null })).key;
  });
}
