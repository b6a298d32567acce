/** Redis as it is run: alone, as a cluster of three masters, or as a master and its replica under three sentinels. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Cluster, Redis } from 'ioredis';
import { findRedis } from '../../deployment/local/servers/redis-binary.ts';
import { launch, stopServer, untilAnswering } from '../../deployment/local/servers/server-process.ts';
import { answersPing, type RedisClient } from '../../platform/redis/connection.ts';
import { fieldsOf } from '../../platform/redis/info-fields.ts';
import { until } from '../kit/until.ts';
import type { Impairments } from './impairments.ts';
import { portToKeep } from './port.ts';
import { createRedisServer, createServer, type Running, type Server } from './servers.ts';

export type RedisTopology = 'single' | 'cluster' | 'sentinel';

export type RedisServers = {
  /** In the form of REDIS_URI. */
  readonly uri: string;
  /** The one that has the `tasks` stream. */
  readonly holder: Server;
  all: Server[];
  passwords: string[];
  /** A connection past every wire, that is given up when it breaks. */
  connect: () => Promise<RedisClient>;
  /** Of a cluster: whether all its servers say that every slot is served. */
  isWhole: () => Promise<boolean>;
  /** Resolves when the sentinels have made the replica the master: the holder from then on. */
  failedOver: () => Promise<void>;
};

export type RedisOptions = {
  dir: string;
  /** Where fetched packages are kept. */
  cacheDir: string;
  impairments: Impairments;
  hold: (end: () => Promise<unknown>) => void;
};

const HOST = '127.0.0.1';
const MASTER = 'mymaster';
const SLOTS = 16_384;
/** Of a cluster's server to be given up by the others, and of a master by its sentinels. */
const SILENT_MS = 1_000;
const COMMAND_MS = 3_000;

const noFailover = async () => {
  throw new Error('there is no replica that could take over');
};
const password = () => randomBytes(24).toString('hex');
const uriOf = (port: number, secret: string) => `redis://:${secret}@${HOST}:${port}`;
const addresses = (ports: number[]) => ports.map((port) => `${HOST}:${port}`).join(',');

/** `onMoved`: it has come back on another port. */
export async function startSingle(options: RedisOptions, root: string, onMoved: (uri: string) => void) {
  const { dir, impairments, hold } = options;
  const server = await createRedisServer(dir, root, onMoved, impairments);
  hold(() => server.stop());
  const single: RedisServers = {
    get uri() {
      return server.uri;
    },
    holder: server,
    all: [server],
    passwords: [new URL(server.uri).password],
    connect: () => connectTo(server.uri),
    isWhole: async () => true,
    failedOver: noFailover,
  };
  return single;
}

export async function startCluster(options: RedisOptions): Promise<RedisServers> {
  const secret = password();
  const nodes = await Promise.all(
    [1, 2, 3].map(async (n) => {
      const [port, busPort] = [await portToKeep(), await portToKeep()];
      const lines = [
        ...['cluster-enabled yes', 'cluster-config-file nodes.conf', `cluster-node-timeout ${SILENT_MS}`],
        ...[`cluster-port ${busPort}`, `cluster-announce-ip ${HOST}`],
      ];
      return { port, busPort, server: await keptServer(options, { name: `redis-${n}`, port, secret, lines }) };
    }),
  );
  const ask = <T>(port: number, work: (redis: Redis) => Promise<T>) => using(uriOf(port, secret), work);
  const share = Math.ceil(SLOTS / nodes.length);
  const [first] = nodes;
  for (const [i, { port }] of nodes.entries()) {
    await ask(port, async (redis) => {
      const last = Math.min(SLOTS, share * (i + 1)) - 1;
      await redis.call('CLUSTER', 'ADDSLOTSRANGE', share * i, last);
      await redis.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1);
      if (i > 0) await redis.call('CLUSTER', 'MEET', HOST, first!.port, first!.busPort);
    });
  }
  const isWhole = async () => {
    const told = await Promise.all(
      nodes.map(({ port }) => ask(port, async (redis) => String(await redis.call('CLUSTER', 'INFO'))).catch(() => '')),
    );
    return told.every((info) => /cluster_state:ok/.test(info) && info.includes(`cluster_known_nodes:${nodes.length}`));
  };
  await until('the cluster is whole', isWhole, 30_000);
  const slot = Number(await ask(first!.port, (redis) => redis.call('CLUSTER', 'KEYSLOT', 'tasks')));
  return {
    uri: `redis+cluster://:${secret}@${addresses(nodes.map(({ port }) => port))}`,
    holder: nodes[Math.floor(slot / share)]!.server,
    all: nodes.map(({ server }) => server),
    passwords: [secret],
    connect: async () => {
      const hosts = nodes.map(({ port }) => ({ host: HOST, port }));
      const redisOptions = { password: secret, commandTimeout: COMMAND_MS };
      const cluster = new Cluster(hosts, { lazyConnect: true, clusterRetryStrategy: () => null, redisOptions });
      cluster.on('error', () => {}); // connect() rejects with it
      try {
        await cluster.connect();
      } catch (error) {
        cluster.disconnect();
        throw error;
      }
      return cluster;
    },
    isWhole,
    failedOver: noFailover,
  };
}

export async function startSentinel(options: RedisOptions): Promise<RedisServers> {
  const [secret, sentinelSecret] = [password(), password()];
  const [masterPort, replicaPort] = [await portToKeep(), await portToKeep()];
  const master = await keptServer(options, { name: 'redis-1', port: masterPort, secret, lines: [] });
  const follows = [`replicaof ${HOST} ${masterPort}`];
  const replica = await keptServer(options, { name: 'redis-2', port: replicaPort, secret, lines: follows });
  const monitor = [
    `requirepass ${sentinelSecret}`,
    `sentinel monitor ${MASTER} ${HOST} ${masterPort} 2`,
    `sentinel auth-pass ${MASTER} ${secret}`,
    `sentinel down-after-milliseconds ${MASTER} ${SILENT_MS}`,
    `sentinel failover-timeout ${MASTER} 5000`,
  ];
  const sentinels = await Promise.all(
    [1, 2, 3].map(async (n) => {
      const port = await portToKeep();
      const at = { ...options, name: `sentinel-${n}`, port, secret: sentinelSecret, lines: monitor };
      const running = await launchOn({ ...at, args: ['--sentinel'] });
      options.hold(() => running.stop());
      return port;
    }),
  );
  const askAll = <T>(work: (redis: Redis) => Promise<T>) =>
    Promise.all(sentinels.map((port) => using(uriOf(port, sentinelSecret), work)));
  await until(
    'the sentinels know each other and the replica',
    async () => {
      const told = await askAll(async (redis) => fieldsOf(await redis.call('SENTINEL', 'MASTER', MASTER)));
      return told.every((its) => its.get('num-other-sentinels') === '2' && its.get('num-slaves') === '1');
    },
    30_000,
  );
  await until(
    'the replica has what the master has',
    () => using(replica.uri, async (redis) => /master_link_status:up/.test(await redis.info('replication'))),
    30_000,
  );
  let holder = master;
  return {
    uri: `redis+sentinel://:${secret}@${addresses(sentinels)}/${MASTER}?sentinelPassword=${sentinelSecret}`,
    get holder() {
      return holder;
    },
    all: [master, replica],
    passwords: [secret, sentinelSecret],
    connect: () => connectTo(holder.uri),
    isWhole: async () => true,
    failedOver: async () => {
      await until(
        'every sentinel names the replica as the master',
        async () => {
          const ask = (redis: Redis) => redis.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER);
          return (await askAll(ask)).every((address) => (address as string[])[1] === String(replicaPort));
        },
        30_000,
      );
      await until('it is one', () =>
        using(replica.uri, async (redis) => /role:master/.test(await redis.info('replication'))),
      );
      holder.replaced();
      holder = replica;
    },
  };
}

type Kept = { name: string; port: number; secret: string; lines: string[]; args?: string[] };

/** It comes back on the port and the folder that it had: the others know it by them. */
async function keptServer(options: RedisOptions, kept: Kept): Promise<Server> {
  const { secret } = kept;
  const lines = [
    ...[`requirepass ${secret}`, `masterauth ${secret}`, 'save ""', 'appendonly no', 'maxmemory-policy noeviction'],
    ...['repl-diskless-sync-delay 0', ...kept.lines],
  ];
  const start = () => launchOn({ ...options, ...kept, lines });
  const server = await createServer('redis', start, () => {}, options.impairments);
  options.hold(() => server.stop());
  return server;
}

async function launchOn({
  dir,
  cacheDir,
  name,
  port,
  secret,
  lines,
  args = [],
}: RedisOptions & Kept): Promise<Running> {
  const folder = join(dir, name);
  const [config, log] = [join(folder, 'redis.conf'), join(dir, `${name}.log`)];
  // Sentinels keep what they know in it.
  if (!existsSync(config)) {
    mkdirSync(folder, { mode: 0o700 });
    const all = [`bind ${HOST}`, `port ${port}`, `dir "${folder}"`, 'daemonize no', ...lines];
    writeFileSync(config, `${all.join('\n')}\n`, { mode: 0o600 });
  }
  const process = await launch({ ...findRedis(cacheDir), cwd: folder }, [config, ...args], log);
  const uri = uriOf(port, secret);
  const stop = () => stopServer(process, 'SIGTERM', 3_000);
  if (!(await untilAnswering(process, () => answersPing(uri, 1_000), 15_000))) {
    await stop();
    throw new Error(`${name} did not come up: ${readFileSync(log, 'utf8').slice(-500)}`);
  }
  return { uri, pid: process.pid, stop };
}

async function connectTo(uri: string): Promise<Redis> {
  const redis = new Redis(uri, { lazyConnect: true, retryStrategy: () => null, commandTimeout: COMMAND_MS });
  redis.on('error', () => {}); // connect() rejects with it
  await redis.connect();
  return redis;
}

async function using<T>(uri: string, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = await connectTo(uri);
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}
