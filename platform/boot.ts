/** What every service needs before it can serve: configuration, log, metrics, Postgres with the right schema, Redis. */
import { hostname } from 'node:os';
import type pg from 'pg';
import { type Config, ConfigError, loadParts, type Made, type Parts } from './config/load.ts';
import type { Service } from './config/variables.ts';
import { type Readiness, startAdmin } from './http/admin.ts';
import { newId } from './ids.ts';
import { createLifecycle, type Lifecycle, stopOnSignal } from './lifecycle.ts';
import { type Appender, createAppender } from './postgres/appender.ts';
import { awaitSchema } from './postgres/await-schema.ts';
import { createPool, type PoolOptions } from './postgres/pool.ts';
import { checkSchema } from './postgres/schema-guard.ts';
import { followServerClock } from './postgres/server-clock.ts';
import { traceAppends } from './postgres/traced-appender.ts';
import { readiness, type Servers } from './readiness.ts';
import { connectRedis, disconnectRedis, type RedisClient, watchFault } from './redis/connection.ts';
import { checkEviction } from './redis/eviction.ts';
import { createHintBus, type HintBus } from './redis/hints.ts';
import { parseRedisUri } from './redis/uri.ts';
import { appendMetrics } from './telemetry/instruments/appends.ts';
import { connectionMetrics } from './telemetry/instruments/connections.ts';
import { createLogger } from './telemetry/logging.ts';
import { createMetrics, type Metrics } from './telemetry/metrics.ts';
import { stopTracing } from './telemetry/shutdown.ts';
import { inTraceOf } from './telemetry/spans.ts';

export type Booted = {
  config: Config;
  logger: ReturnType<typeof createLogger>;
  lifecycle: Lifecycle;
  metrics: Metrics;
  /** Unique among live processes. */
  name: string;
  pool: pg.Pool;
  redis: RedisClient;
  redisFault: () => Error | null;
  hints: HintBus;
  /** Another connection to Redis; closed when the service stops. */
  openRedis: (purpose: string) => RedisClient;
  /** Its limits are the service's own unless others are said. */
  openPool: (purpose: string, uri: string, max: number, limits?: PoolLimits) => pg.Pool;
  /** The process was told to stop. */
  stopping: AbortSignal;
  /** By purpose: those to another server than the primary. */
  replicas: Map<string, pg.Pool>;
  sleep: (ms: number) => Promise<void>;
};

type PoolLimits = Pick<PoolOptions, 'statementTimeoutMs' | 'transactionTimeoutMs'>;

/** A client paused in the middle of an append holds the log's lock: the server ends it after this. */
export const APPEND_LIMITS: PoolLimits = { statementTimeoutMs: 2_000, transactionTimeoutMs: 2_000 };
/** An answer of tens of megabytes is compressed, indexed and flushed under that lock. */
const LARGE_APPEND_LIMITS: PoolLimits = { statementTimeoutMs: 15_000, transactionTimeoutMs: 15_000 };

/**
 * Short where somebody waits for a 202 or an answer, or a lease for its heartbeat; longer where batches are written. A
 * half-open connection is found out after a second more, so none is longer than what is read may lag behind.
 */
const LIMITS: Partial<Record<Service, PoolLimits>> = {
  'command-api': { statementTimeoutMs: 2_000, transactionTimeoutMs: 2_000 },
  worker: { statementTimeoutMs: 3_000, transactionTimeoutMs: 3_000 },
  'query-api': { statementTimeoutMs: 5_000, transactionTimeoutMs: 8_000 },
  projector: { statementTimeoutMs: 8_000, transactionTimeoutMs: 12_000 },
};

export type BootOptions = {
  service: Service;
  config: Config;
  postgresUri: string;
  redisUri: string;
  logger: ReturnType<typeof createLogger>;
  lifecycle: Lifecycle;
  metrics: Metrics;
  /** Without one it is ready until its last moment. */
  stopping?: AbortSignal;
  poolSize?: number;
  /** Called before any of them is waited for. */
  onOpened?: (servers: Servers) => void;
};

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A connection is opened in the trace of whoever needed it first; what becomes of it later is not that one's. */
const outside = (work: () => void): void => inTraceOf(null, work);

/** Connections for one service; a missing Redis is waited for by whoever uses it, a missing Postgres here. */
export async function connectService(options: BootOptions): Promise<Booted> {
  const { service, config, logger, lifecycle } = options;
  const connections = options.metrics.of(connectionMetrics);
  const name = `${service}-${hostname()}-${process.pid}-${newId().slice(-6)}`;
  const replicas: Booted['replicas'] = new Map();
  const openPool = (purpose: string, uri: string, max: number, limits = LIMITS[service]): pg.Pool => {
    const onError = (error: Error) =>
      outside(() => logger.warn({ err: error, purpose }, 'postgres: a connection broke'));
    const primary = uri === options.postgresUri;
    const pool = createPool({ uri, name: `${config.APP_ID}-${purpose}`, max, onError, primary, ...limits });
    connections.watchPool(purpose, pool);
    if (!primary) replicas.set(purpose, pool);
    lifecycle.push(`postgres ${purpose}`, () => pool.end());
    return pool;
  };
  const openRedis = (purpose: string): RedisClient => {
    const onError = (error: Error) => outside(() => logger.warn({ err: error, purpose }, 'redis: a connection broke'));
    const client = connectRedis(parseRedisUri(options.redisUri), { name: `${config.APP_ID}-${purpose}`, onError });
    connections.watchRedis(purpose, () => client.status === 'ready');
    lifecycle.push(`redis ${purpose}`, () => disconnectRedis(client));
    return client;
  };
  const pool = openPool(service, options.postgresUri, options.poolSize ?? 8);
  const redis = openRedis('commands');
  const redisFault = watchFault(redis);
  const { metrics, stopping = new AbortController().signal } = options;
  options.onOpened?.({ pool, replicas, redis, redisFault, stopping });
  await awaitSchema(pool, (error) => logger.warn({ err: error }, 'postgres: not reachable yet, it is tried again'));
  await checkEviction(redis, (error) => logger.warn({ err: error }, 'redis: its eviction policy could not be read'));
  const hints = createHintBus(redis, openRedis('hints'), (error) =>
    logger.warn({ err: error }, 'hints: one was lost; polling finds it'),
  );
  lifecycle.push('hints', () => hints.close());
  return {
    config,
    logger,
    lifecycle,
    metrics,
    name,
    pool,
    replicas,
    redis,
    redisFault,
    hints,
    openRedis,
    openPool,
    stopping,
    sleep,
  };
}

/** The process's one writer of the log: the fewer calls take the append lock, the more goes in each. */
export function openAppender(booted: Booted, postgresUri: string, queueLimit: number): Appender {
  const { lifecycle } = booted;
  const metrics = booted.metrics.of(appendMetrics);
  const appender = createAppender({
    pool: booted.openPool('append', postgresUri, 2, APPEND_LIMITS),
    largePool: booted.openPool('large-append', postgresUri, 1, LARGE_APPEND_LIMITS),
    queueLimit,
    onCall: metrics.onCall,
  });
  lifecycle.push('appender', appender.stop);
  metrics.watchQueue(() => appender.waiting);
  return traceAppends(appender);
}

/** The time by which decisions about a prompt's end are made; see server-clock.ts. */
export async function openServerClock({ pool, lifecycle, logger }: Booted): Promise<() => Date> {
  const onError = (error: Error) =>
    logger.warn({ err: error }, 'postgres: its time could not be read; it is carried on');
  const clock = await followServerClock(pool, { onError });
  lifecycle.push('clock', clock.stop);
  return clock.now;
}

/**
 * A service as a process of its own: makes its parts of the configuration, connects, starts what `run` builds, stops on a
 * signal. Faults end it in one sentence; those of the configuration all at once, before anybody is connected to.
 */
export async function runService<P extends Parts>(
  service: Service,
  parts: P,
  run: (booted: Booted, made: Made<P>) => Promise<void>,
): Promise<void> {
  try {
    const { config, made } = loadParts(service, parts);
    const { POSTGRES_URI: postgresUri, REDIS_URI: redisUri } = config;
    if (!postgresUri || !redisUri) throw new ConfigError(['POSTGRES_URI, REDIS_URI: both are needed']);
    const logger = createLogger({ service: config.APP_ID, level: config.LOG_LEVEL });
    const lifecycle = createLifecycle({ graceSeconds: config.SHUTDOWN_GRACE_SECONDS, logger });
    const told = new AbortController();
    stopOnSignal(lifecycle, logger, () => told.abort());
    lifecycle.push('tracing', stopTracing);
    const metrics = createMetrics(config.APP_ID);
    const { signal: stopping } = told;
    const starting = { service: { ok: false, detail: 'is starting' } };
    const unasked = { ok: false, detail: 'not asked yet' };
    // Before anything is waited for: it tells what that is.
    let ready: () => Promise<Readiness> = async () => ({ postgres: unasked, redis: unasked, ...starting });
    const admin = await startAdmin({
      host: config.HOST,
      port: config.ADMIN_PORT,
      registry: metrics.registry,
      ready: () => ready(),
    });
    lifecycle.push('admin', admin.close);
    const onOpened = (servers: Servers) => {
      const checks = readiness(servers, checkSchema);
      ready = async () => ({ ...(await checks()), ...starting });
    };
    const addresses = { postgresUri, redisUri };
    const common = { service, config, logger, lifecycle, metrics, stopping };
    const booted = await connectService({ ...common, ...addresses, onOpened });
    await run(booted, made);
    ready = readiness(booted);
    logger.info({ adminPort: admin.port }, `${service} is ready`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}
