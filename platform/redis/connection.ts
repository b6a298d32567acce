import { Cluster, Redis } from 'ioredis';
import type { RedisTarget } from './uri.ts';

export type RedisClient = Redis | Cluster;

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
  const common = {
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
  };
  const client =
    target.kind === 'cluster'
      ? new Cluster(target.hosts, {
          redisOptions: common,
          clusterRetryStrategy: common.retryStrategy,
          // A cluster's own queue knows no time-out: what it keeps while no node is there would wait without end.
          enableOfflineQueue: false,
        })
      : target.kind === 'sentinel'
        ? new Redis({ ...common, sentinels: target.hosts, name: target.master })
        : new Redis(target.uri, common);
  client.on('error', options.onError);
  return client;
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
