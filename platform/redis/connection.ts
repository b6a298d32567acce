import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import type { RedisTarget } from './uri.ts';

export type RedisClient = Redis | Cluster;
type Target<K extends RedisTarget['kind']> = Extract<RedisTarget, { kind: K }>;

export type ConnectionOptions = {
  name: string;
  onError: (error: Error) => void;
  /** A client that blocks (XREADGROUP) must wait longer than the block; others answer within seconds or never. */
  commandTimeoutMs?: number;
};

/**
 * Commands fail within seconds while Redis is away, instead of queueing without end: Redis only delivers, and
 * whoever calls it has a loop that comes again.
 */
export function connectRedis(target: RedisTarget, options: ConnectionOptions): RedisClient {
  const client =
    target.kind === 'cluster'
      ? new Cluster(target.hosts, clusterOptions(target, options))
      : target.kind === 'sentinel'
        ? new Redis(sentinelOptions(target, options))
        : new Redis(target.uri, commonOptions(options));
  client.on('error', options.onError);
  return client;
}

function commonOptions(options: ConnectionOptions) {
  return {
    connectTimeout: 3_000,
    commandTimeout: options.commandTimeoutMs ?? 3_000,
    // A half-open connection never answers: after this the next command gets a new one.
    socketTimeout: (options.commandTimeoutMs ?? 3_000) + 1_000,
    keepAlive: 5_000,
    maxRetriesPerRequest: 1,
    enableAutoPipelining: false,
    // Its own subscribing has nobody to tell that it failed, and would end the process: see hints.ts.
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false, // a resent XADD whose reply was lost would be a second entry
    connectionName: options.name,
    retryStrategy: (times: number) => Math.min(2_000, 50 * 2 ** Math.min(times, 6)),
    // A master that a failover made a replica: the address leads to the new one, this connection does not.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  };
}

export function sentinelOptions(target: Target<'sentinel'>, options: ConnectionOptions) {
  const { login, sentinelLogin } = target;
  return {
    ...commonOptions(options),
    sentinels: target.hosts,
    name: target.master,
    sentinelCommandTimeout: 3_000,
    ...login,
    ...(target.db !== undefined && { db: target.db }),
    ...(sentinelLogin?.username && { sentinelUsername: sentinelLogin.username }),
    ...(sentinelLogin?.password && { sentinelPassword: sentinelLogin.password }),
    ...(target.tls && { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true }),
  } satisfies RedisOptions;
}

export function clusterOptions(target: Target<'cluster'>, options: ConnectionOptions) {
  const { retryStrategy, ...common } = commonOptions(options);
  return {
    redisOptions: { ...common, ...target.login, ...(target.tls && { tls: {} }) },
    clusterRetryStrategy: retryStrategy,
    // A cluster's own queue knows no time-out: what it keeps while no node is there would wait without end.
    enableOfflineQueue: false,
    // Certificates name hosts: a name that was looked up before would be compared as an address.
    ...(target.tls && { dnsLookup: keepName }),
  } satisfies ClusterOptions;
}

const keepName: NonNullable<ClusterOptions['dnsLookup']> = (host, callback) => callback(null, host);

/** Why there is no connection now: the last error of it, null from when it takes commands again. */
export function watchFault(client: RedisClient): () => Error | null {
  let fault: Error | null = null;
  client.on('error', (error: Error) => {
    fault = error;
  });
  client.on('ready', () => {
    fault = null;
  });
  return () => fault;
}

/** Ends the connection without waiting for answers that may never come. */
export const disconnectRedis = (client: RedisClient): void => client.disconnect();

/** One try: whether a server is there and takes our password. */
export async function answersPing(uri: string, withinMs: number): Promise<boolean> {
  const once = { lazyConnect: true, retryStrategy: () => null, connectTimeout: withinMs, commandTimeout: withinMs };
  const client = new Redis(uri, once);
  client.on('error', () => {}); // connect() rejects with the same
  try {
    await client.connect();
    return (await client.ping()) === 'PONG';
  } catch {
    return false;
  } finally {
    client.disconnect();
  }
}
