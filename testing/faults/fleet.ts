/** The whole system under fault: servers, a provider, and every service as a process, with a breakable wire to each of them. */
import { spawnSync } from 'node:child_process';
import { existsSync, type FSWatcher, mkdirSync, mkdtempSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { createKey } from '../../platform/postgres/api-keys.ts';
import { applyMigrations } from '../../platform/postgres/migrate.ts';
import { type Emulator, startEmulator } from '../emulator/emulator.ts';
import { openWire, type Wire } from '../kit/wire.ts';
import { createImpairments, type Impairments } from './impairments.ts';
import { portToKeep } from './port.ts';
import { type RedisServers, type RedisTopology, startCluster, startSentinel, startSingle } from './redis-servers.ts';
import { createPostgres, queryOn, type Server } from './servers.ts';
import { createStandby, type Standby } from './standby.ts';
import { createSupervisor, type Instance, type Supervisor } from './supervisor.ts';

const ROOT = join(import.meta.dirname, '../..');

export type Fleet = {
  /** The project folder whose packages the servers come from. */
  root: string;
  /** The project folder whose code folds the log anew at the end. */
  reader: string;
  dir: string;
  logDir: string;
  /** The one that takes writes. */
  readonly postgres: Server;
  /** Where the query-apis read, if the fleet was started with one. */
  standby: Standby | null;
  /** The one that has the `tasks` stream. */
  readonly redis: Server;
  redisServers: RedisServers;
  emulator: Emulator;
  providerWire: Wire;
  /** By instance: its own way to each server; to Redis none where Redis itself tells the addresses. */
  wires: Map<string, { postgres: Wire; redis?: Wire }>;
  /** From the query-apis to the standby. */
  readWires: Wire[];
  supervisor: Supervisor;
  impairments: Impairments;
  /** Of each worker. */
  slots: number;
  leaseMs: number;
  callTimeoutMs: number;
  /** Answers that were put into a spool. */
  spooled: () => number;
  byService: (service: string) => Instance[];
  /** Addresses of the APIs; they stay the same when a process is started again. */
  commandApis: string[];
  queryApis: string[];
  adminPorts: Map<string, number>;
  users: { name: string; key: string; isAdmin: boolean }[];
  /** What must be found in no log. */
  secrets: string[];
  /** This server takes the writes from now on, and the wires of all services lead there. */
  failOver: (to: Server) => void;
  /** Every service says that it is ready. */
  up: () => Promise<void>;
  /** Everything whole again; instances that stopped are continued. */
  heal: () => Promise<void>;
  /** Statements past every wire; a new connection each time. */
  query: <R extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<R[]>;
  /** Ends all of it; the exit codes of the services. A second call is given what the first came to. */
  stop: () => Promise<Record<string, number | null>>;
};

export type FleetOptions = {
  counts: { 'command-api': number; worker: number; projector: number; 'query-api': number };
  slots: number;
  leaseSeconds: number;
  /** Further environment of every service. */
  env?: Record<string, string>;
  /** Further settings of PostgreSQL. */
  postgresSettings?: Record<string, string>;
  /** One server, unless it is said otherwise. */
  redis?: RedisTopology;
  /** A standby is made, and read from by the query-apis. */
  standby?: boolean;
  /** Where PostgreSQL keeps its data, if not with all else. */
  postgresDir?: string;
  userNames?: string[];
  /** Another project folder: a mutated copy. */
  root?: string;
  /** Another project folder, which knows every event that comes: a later release. */
  reader?: string;
};

/** A link that was cut is made again soon. */
const STANDBY_SETTINGS = { wal_retrieve_retry_interval: '100ms' };
const CALL_TIMEOUT_SECONDS = 4;
/** Between attempts: short, so that a case is short. */
export const RETRIES = { RETRY_BASE_SECONDS: '0.1', RETRY_CAP_SECONDS: '0.5' };
const PROVIDER_KEY = 'canary-provider-key';

const running = new Set<() => Promise<unknown>>();

/** A run that is broken off takes its servers with it: they would outlive the process that started them. */
export function stopFleetsOnSignals(): void {
  const end = async () => {
    await Promise.all([...running].map((endAll) => endAll()));
    process.exit(1);
  };
  // The last: of a share of the matrix, when whoever gathers the shares has gone.
  for (const signal of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.once(signal, end);
}

/** What a fleet holds, ended in the reverse order of its making, once; also when the making fails half way. */
function createHoldings(): { hold: (end: () => Promise<unknown>) => void; endAll: () => Promise<void> } {
  const ends: (() => Promise<unknown>)[] = [];
  let ended = false;
  return {
    // What was still being made when the making of something else failed goes at once.
    hold: (end) => void (ended ? end() : ends.push(end)),
    endAll: async () => {
      ended = true;
      for (const end of ends.splice(0).reverse()) await end();
    },
  };
}

export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { hold, endAll } = createHoldings();
  running.add(endAll);
  hold(async () => running.delete(endAll));
  try {
    return await assemble(options, hold, endAll);
  } catch (error) {
    await endAll();
    throw error;
  }
}

async function assemble(
  options: FleetOptions,
  hold: (end: () => Promise<unknown>) => void,
  endAll: () => Promise<void>,
): Promise<Fleet> {
  const root = options.root ?? ROOT;
  const dir = mkdtempSync(join(tmpdir(), 'orchestrator-faults-'));
  hold(async () => rmSync(dir, { recursive: true, force: true }));
  const logDir = join(dir, 'log');
  mkdirSync(logDir);
  const wires: Fleet['wires'] = new Map();
  const readWires: Wire[] = [];
  const impairments = createImpairments();
  const spooled = new Set<string>();
  const retarget = (which: 'postgres' | 'redis') => (uri: string) => {
    for (const wire of wires.values()) wire[which]?.retarget(uri);
  };
  const postgresDir = options.postgresDir ?? dir;
  const settings = options.postgresSettings ?? {};
  const held = <T extends { stop: () => Promise<unknown> }>(server: T): T => {
    hold(() => server.stop());
    return server;
  };
  const wireTo = async (uri: string): Promise<Wire> => {
    const wire = await openWire(uri);
    hold(() => wire.close());
    return wire;
  };
  const followed = (uri: string) => {
    if (primary === postgres) retarget('postgres')(uri);
  };
  const redisOptions = { dir, cacheDir: join(ROOT, '.cache'), impairments, hold };
  const startRedis = {
    single: () => startSingle(redisOptions, ROOT, retarget('redis')),
    cluster: () => startCluster(redisOptions),
    sentinel: () => startSentinel(redisOptions),
  }[options.redis ?? 'single'];
  const [postgres, redisServers] = await Promise.all([
    createPostgres(postgresDir, settings, followed, impairments).then(held),
    startRedis(),
  ]);
  const hasWire = (options.redis ?? 'single') === 'single';
  buildConsole(root);
  await applyMigrations(postgres.uri, join(root, 'migrations'));
  let primary: Server = postgres;
  const query: Fleet['query'] = queryOn(() => primary);
  const users = await makeUsers(postgres.uri, options.userNames ?? ['ada', 'grace', 'ken', 'linus', 'margaret']);
  // What a fleet starts with is on the disk, also where commits are not flushed: a power cut takes none of it.
  await query('CHECKPOINT');
  const standby = options.standby
    ? held(await createStandby(postgres, postgresDir, join(dir, 'standby'), { ...settings, ...STANDBY_SETTINGS }))
    : null;
  const emulator = await startEmulator();
  hold(() => emulator.close());
  const providerWire = recorded(await wireTo(emulator.url), 'provider', impairments);
  const supervisor = createSupervisor(logDir, root, impairments);
  let codes: Promise<Record<string, number | null>> | null = null;
  const stopServices = () => {
    codes ??= supervisor.stop();
    return codes;
  };
  hold(stopServices);
  const adminPorts = new Map<string, number>();
  const addresses: Record<string, string[]> = {};

  for (const [service, count] of Object.entries(options.counts)) {
    for (let i = 1; i <= count; i += 1) {
      const name = `${service}-${i}`;
      const wire = {
        postgres: recorded(await wireTo(postgres.uri), name, impairments),
        ...(hasWire && { redis: await wireTo(redisServers.uri) }),
      };
      const reads = standby && service === 'query-api' ? await wireTo(standby.server.uri) : null;
      if (reads) readWires.push(reads);
      const spoolDir = join(dir, 'spool', name);
      if (service === 'worker') {
        const watcher = watchSpool(spoolDir, spooled);
        hold(async () => watcher.close());
      }
      wires.set(name, wire);
      const [port, adminPort] = [await portToKeep(), await portToKeep()];
      adminPorts.set(name, adminPort);
      addresses[service] = [...(addresses[service] ?? []), `http://127.0.0.1:${port}`];
      supervisor.start(name, service, {
        HOST: '127.0.0.1',
        PORT: String(port),
        ADMIN_PORT: String(adminPort),
        APP_ID: name,
        POSTGRES_URI: wire.postgres.uri,
        REDIS_URI: (wire.redis ?? redisServers).uri,
        GEMINI_API_KEY: PROVIDER_KEY,
        GEMINI_BASE_URL: `http://127.0.0.1:${providerWire.port}`,
        NUMBER_OF_WORKERS: String(options.slots),
        LEASE_SECONDS: String(options.leaseSeconds),
        CALL_TIMEOUT_SECONDS: String(CALL_TIMEOUT_SECONDS),
        ...RETRIES,
        SHUTDOWN_GRACE_SECONDS: '10',
        ...(service === 'worker' && { SPOOL_DIR: spoolDir }),
        ...(reads && { POSTGRES_READ_URI: reads.uri }),
        ...options.env,
      });
    }
  }
  const up = async () => void (await Promise.all(supervisor.instances().map((one) => one.ready())));
  await up();

  return {
    root: ROOT,
    reader: options.reader ?? ROOT,
    dir,
    logDir,
    get postgres() {
      return primary;
    },
    standby,
    failOver: (to) => {
      primary.replaced();
      primary = to;
      retarget('postgres')(to.uri);
    },
    get redis() {
      return redisServers.holder;
    },
    redisServers,
    emulator,
    providerWire,
    wires,
    readWires,
    supervisor,
    impairments,
    slots: options.slots,
    leaseMs: options.leaseSeconds * 1000,
    callTimeoutMs: CALL_TIMEOUT_SECONDS * 1000,
    spooled: () => spooled.size,
    byService: (service) => supervisor.instances().filter((one) => one.service === service),
    commandApis: addresses['command-api'] ?? [],
    queryApis: addresses['query-api'] ?? [],
    adminPorts,
    users,
    secrets: [PROVIDER_KEY, ...users.map(({ key }) => key), new URL(postgres.uri).password, ...redisServers.passwords],
    query,
    up,
    heal: async () => {
      for (const server of [primary, ...redisServers.all]) server.signal('SIGCONT');
      for (const one of supervisor.instances()) {
        one.signal('SIGCONT');
        one.send({ disarm: true });
        one.send({ skewMs: 0 });
      }
      const between = [...wires.values()].flatMap((pair) => Object.values(pair));
      for (const wire of [providerWire, ...between, ...readWires]) wire.mend();
      emulator.setBehaviour({});
      await up();
    },
    stop: async () => {
      const exitCodes = await stopServices();
      await endAll();
      return exitCodes;
    },
  };
}

/** The page that a query-api serves, where it is not there yet. */
export function buildConsole(root: string): void {
  if (existsSync(join(root, 'console/dist'))) return;
  spawnSync(process.execPath, ['console/build.mjs'], { cwd: root, stdio: 'inherit' });
}

/** A way to a server that writes down what is done to it. A server's lost answer is none of it: it costs one connection. */
function recorded(wire: Wire, instance: string, impairments: Impairments): Wire {
  let end = () => {};
  const during = (what: 'cut off' | 'late', act: () => void) => {
    end();
    end = impairments.begin(instance, what);
    act();
  };
  // By descriptors: the counters are getters.
  return Object.create(wire, {
    cut: { value: () => during('cut off', wire.cut) },
    // The provider's is the call's outcome, whichever call that comes to be.
    ...(instance === 'provider' && { loseAnswer: { value: () => during('cut off', wire.loseAnswer) } }),
    hang: { value: () => during('cut off', wire.hang) },
    reset: {
      value: () => {
        impairments.ended(instance, 'cut off', null, 0);
        wire.reset();
      },
    },
    delay: { value: (ms: number) => during('late', () => wire.delay(ms)) },
    mend: {
      value: () => {
        wire.mend();
        end();
      },
    },
  }) as Wire;
}

/** Files come and go within moments: each is counted by its name. */
function watchSpool(dir: string, seen: Set<string>): FSWatcher {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return watch(dir, (_, name) => {
    if (name?.endsWith('.answer')) seen.add(name);
  });
}

async function makeUsers(uri: string, names: string[]): Promise<Fleet['users']> {
  const client = new pg.Client({ connectionString: uri });
  await client.connect();
  try {
    const users: Fleet['users'] = [];
    for (const name of [...names, 'root']) {
      const isAdmin = name === 'root';
      const spec = { userId: name, role: isAdmin ? 'admin' : 'user', name: 'faults', expiresAt: null } as const;
      users.push({ name, isAdmin, key: (await createKey(client, spec)).key });
    }
    return users;
  } finally {
    await client.end();
  }
}
