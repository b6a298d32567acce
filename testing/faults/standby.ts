/** A streaming standby of a running PostgreSQL: a base backup of it, and the rest of its log over a wire that can be broken. */
import { chownSync, copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { clusterOf } from '../../deployment/local/servers/postgres.ts';
import { until } from '../kit/until.ts';
import { openWire, type Wire } from '../kit/wire.ts';
import { createImpairments } from './impairments.ts';
import { createPostgres, queryOn, type Server } from './servers.ts';

/** As it stands in pg_stat_replication and synchronous_standby_names. */
export const STANDBY = 'standby';

export type Standby = {
  server: Server;
  /** Past every wire of the services. */
  query: ReturnType<typeof queryOn>;
  /** From the primary's log to this server. */
  link: Wire;
  /** All that the primary has flushed until now can be read here. */
  caughtUp: () => Promise<void>;
  /** Nobody is sent the primary's log any more. */
  cut: () => Promise<void>;
  /** Takes writes from now on. */
  promote: () => Promise<void>;
  stop: () => Promise<void>;
};

/** `primaryDir`: the data folder that `primary` was started on. */
export async function createStandby(
  primary: Server,
  primaryDir: string,
  dir: string,
  settings: Record<string, string>,
): Promise<Standby> {
  const link = await openWire(primary.uri);
  const ask = queryOn(() => primary);
  mkdirSync(dir, { mode: 0o700 });
  copyFileSync(join(primaryDir, 'postgres-password'), join(dir, 'postgres-password'));
  await baseBackup(primary.uri, primaryDir, dir);
  await followOver(dir, link.uri);
  const server = await createPostgres(dir, settings, () => {}, createImpairments());
  const query = queryOn(() => server);
  return {
    server,
    query,
    link,
    caughtUp: async () => {
      const [head] = await ask<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
      await until('the standby has replayed it', async () => {
        const text = 'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS is';
        return (await query<{ is: boolean }>(text, [head!.lsn]))[0]?.is;
      });
    },
    cut: async () => {
      link.cut();
      await until('nobody is sent the log', async () => (await ask('SELECT FROM pg_stat_replication')).length === 0);
    },
    promote: async () => {
      const [row] = await query<{ promoted: boolean }>('SELECT pg_promote(true, 20) AS promoted');
      if (!row?.promoted) throw new Error('the standby was not promoted within 20 s');
    },
    stop: async () => {
      await server.stop();
      await link.close();
    },
  };
}

/** At its next start the cluster of `dir` is a standby of the server at `primaryUri`, by its own or by no more than its own log. */
export async function followOver(dir: string, primaryUri: string): Promise<void> {
  const { home, cluster } = await clusterOf(dir);
  const { hostname, port, username, password } = new URL(primaryUri);
  const primary = `host=${hostname} port=${port} user=${username} password=${password} application_name=${STANDBY}`;
  // Not on the command line, where everybody would read the password.
  writeFileSync(join(cluster, 'postgresql.auto.conf'), `primary_conninfo = '${primary}'\n`, { mode: 0o600 });
  writeFileSync(join(cluster, 'standby.signal'), '');
  const { uid } = home.launch('postgres');
  if (uid !== undefined) for (const name of readdirSync(cluster)) chownSync(join(cluster, name), uid, uid);
}

/** Folders that a server fills anew, or that a standby is sent. */
const EMPTY: ReadonlySet<string> = new Set([
  ...['pg_wal', 'pg_replslot', 'pg_dynshmem', 'pg_notify', 'pg_serial', 'pg_snapshots', 'pg_stat_tmp', 'pg_subtrans'],
]);
/** Of the running server itself. */
const ITS_OWN = /^(postmaster\.(pid|opts)|pgsql_tmp.*|backup_label)$/;

/** A copy of the files between the two calls, which must be of one session; what changed meanwhile comes with the log. */
async function baseBackup(uri: string, primaryDir: string, dir: string): Promise<void> {
  const [from, to] = [await clusterOf(primaryDir), await clusterOf(dir)];
  const client = new pg.Client({ connectionString: uri });
  await client.connect();
  try {
    await client.query(`SELECT pg_backup_start('standby', fast => true)`);
    copyFolder(from.cluster, to.cluster, to.home.launch('postgres').uid);
    const { rows } = await client.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop(false)');
    writeFileSync(join(to.cluster, 'backup_label'), rows[0]!.labelfile);
  } finally {
    await client.end();
  }
}

function copyFolder(from: string, to: string, uid: number | undefined): void {
  const own = (path: string) => uid !== undefined && chownSync(path, uid, uid);
  mkdirSync(to, { mode: 0o700 });
  own(to);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (ITS_OWN.test(entry.name)) continue;
    if (entry.isDirectory() && EMPTY.has(entry.name)) {
      mkdirSync(target, { mode: 0o700 });
      own(target);
    } else if (entry.isDirectory()) copyFolder(source, target, uid);
    else if (copiedUnlessGone(source, target)) own(target);
  }
}

/** A file that goes while it is copied is one that the log takes away as well. */
function copiedUnlessGone(source: string, target: string): boolean {
  try {
    copyFileSync(source, target);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
