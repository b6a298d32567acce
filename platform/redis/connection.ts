import { Cluster, Redis } from 'ioredis';

/** A parsed REDIS_URI. */
export type RedisTarget =
  | { kind: 'single'; uri: string }
  | { kind: 'sentinel'; hosts: { host: string; port: number }[]; master: string }
  | { kind: 'cluster'; hosts: { host: string; port: number }[] };

export type RedisClient = Redis | Cluster;

export type ConnectionOptions = {
  name: string;
  onError: (error: Error) => void;
  /** A client that blocks (XREADGROUP) must wait longer than the block; others answer within seconds or never. */
  commandTimeoutMs?: number;
};

/** `host:port`, `redis://…`, `rediss://…`, `redis+sentinel://h:p,h:p/master`, `redis+cluster://h:p,h:p`. */
export function parseRedisUri(uri: string): RedisTarget {
  const [, scheme, rest] = /^(redis\+sentinel|redis\+cluster):\/\/(.+)$/.exec(uri) ?? [];
  if (scheme && rest) {
    const [list = '', master] = rest.split('/');
    const hosts = list.split(',').map(parseHost);
    if (scheme === 'redis+cluster') return { kind: 'cluster', hosts };
    if (!master) throw new TypeError('redis+sentinel:// needs the name of the master after the hosts: …/mymaster');
    return { kind: 'sentinel', hosts, master };
  }
  if (/^rediss?:\/\//.test(uri)) return { kind: 'single', uri };
  const { host, port } = parseHost(uri);
  return { kind: 'single', uri: `redis://${host}:${port}` };
}

function parseHost(text: string): { host: string; port: number } {
  const [, host, port = '6379'] = /^([^\s:/]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (!host) throw new TypeError(`"${text}" is not host:port`);
  return { host, port: Number(port) };
}

/**
 * Commands fail within seconds while Redis is away, instead of queueing without end: Redis only delivers, and
 * whoever calls it has a loop that comes again.
 */
export function connectRedis(target: RedisTarget, options: ConnectionOptions): RedisClient {
  const common = {
    connectTimeout: 3_000,
    commandTimeout: options.commandTimeoutMs ?? 3_000,
    keepAlive: 5_000,
    maxRetriesPerRequest: 1,
    enableAutoPipelining: false,
    autoResendUnfulfilledCommands: false, // a resent XADD whose reply was lost would be a second entry
    connectionName: options.name,
    retryStrategy: (times: number) => Math.min(2_000, 50 * 2 ** Math.min(times, 6)),
  };
  const client =
    target.kind === 'cluster'
      ? new Cluster(target.hosts, { redisOptions: common, clusterRetryStrategy: common.retryStrategy })
      : target.kind === 'sentinel'
        ? new Redis({ ...common, sentinels: target.hosts, name: target.master })
        : new Redis(target.uri, common);
  client.on('error', options.onError);
  return client;
}

/** Ends the connection without waiting for answers that may never come. */
export const disconnectRedis = (client: RedisClient): void => client.disconnect();
