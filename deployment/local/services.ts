/** The four services composed in one process, on connections that are there already. */

import { createCommandApi } from '../../command-api/app.ts';
import type { RetryBudget } from '../../contracts/prompt/retry.ts';
import { type Booted, openAppender, openServerClock } from '../../platform/boot.ts';
import { budgetFrom } from '../../platform/config/budget.ts';
import { healthRoute } from '../../platform/http/health.ts';
import { describeApi, serveApiDescription } from '../../platform/http/openapi.ts';
import { createServer, type Server } from '../../platform/http/server.ts';
import { createKeyVerifier } from '../../platform/postgres/api-keys.ts';
import type { openServedModels } from '../../platform/prices/served-models.ts';
import { readiness } from '../../platform/readiness.ts';
import { httpMetrics } from '../../platform/telemetry/instruments/http.ts';
import { createProjector } from '../../projector/app.ts';
import { createQueryApi } from '../../query-api/app.ts';
import { connectSpool, connectWorker, type WorkerOptions } from '../../worker/app.ts';

export type ServicesOptions = {
  booted: Booted;
  postgresUri: string;
  served: ReturnType<typeof openServedModels>;
  provider: WorkerOptions['provider'];
  /** Told by /health. */
  emulated: boolean;
  consoleDir: string;
  version: string;
  /** Null: answers are held in memory alone while Postgres is away. */
  spoolDir: string | null;
  archiveDir?: string | undefined;
  headersTimeoutMs?: number;
  requestTimeoutMs?: number;
  pingMs?: number;
  budget?: () => RetryBudget;
};

const STREAMS = { tasks: 'tasks', results: 'results' };

/** Everything runs and is stopped with `booted.lifecycle`; the server does not listen yet. */
export async function startServices(options: ServicesOptions): Promise<Server> {
  const { booted, postgresUri, provider, served } = options;
  const { config, lifecycle, logger, metrics, pool, redis, hints, name, openRedis, sleep } = booted;
  const now = () => new Date();

  // One for all services of this process: the fewer calls take the append lock, the more goes in each.
  const appender = openAppender(booted, postgresUri, config.APPEND_QUEUE_LIMIT);

  const projector = createProjector({
    postgresUri,
    archiveDir: options.archiveDir,
    pool,
    blockingRedis: openRedis('results'),
    hints,
    resultsStream: STREAMS.results,
    logger,
    sleep,
    redis,
    metrics,
    onBroken: (error) =>
      logger.error({ err: error }, 'projector: stopped for good; the read models stay where they are'),
  });
  projector.start();
  lifecycle.push('projector', projector.stop);

  const budget = options.budget ?? budgetFrom(config);
  const worker = connectWorker({
    name,
    pool,
    append: appender.append,
    redis,
    blockingRedis: openRedis('tasks'),
    hints,
    tasksStream: STREAMS.tasks,
    resultsStream: STREAMS.results,
    resultsMaxLength: config.RESULTS_MAX_LENGTH,
    provider,
    priceOf: served.book.price,
    slots: config.NUMBER_OF_WORKERS,
    leaseSeconds: config.LEASE_SECONDS,
    callTimeoutSeconds: config.CALL_TIMEOUT_SECONDS,
    drainSeconds: Math.max(1, config.SHUTDOWN_GRACE_SECONDS - 8),
    budget,
    spool: await connectSpool(options.spoolDir, pool, logger),
    now,
    sleep,
    logger,
    metrics,
  });
  worker.start();
  lifecycle.push('worker', worker.stop);

  const verifyKey = createKeyVerifier(pool);
  const commands = await createCommandApi({
    name,
    postgresUri,
    pool,
    appender,
    redis,
    hints,
    tasksStream: STREAMS.tasks,
    verifyKey,
    models: new Set(served.models.map(({ model }) => model)),
    defaultModel: served.defaultModel,
    costBound: (ask) => ({ nanoUsd: served.book.upperBound({ ...ask, at: now() }), priceVersion: served.book.version }),
    budget,
    now: await openServerClock(booted),
    logger,
    metrics,
  });
  commands.relay.start();
  lifecycle.push('relay', commands.relay.stop);

  const queries = createQueryApi({
    replica: null,
    primaryPool: pool,
    redis,
    hints,
    verifyKey,
    models: served.models,
    defaultModel: served.defaultModel,
    priceVersion: served.book.version,
    cacheTtlMinutes: config.CACHE_TTL_MINUTES,
    logger,
    metrics,
    consoleDir: options.consoleDir,
    ...(options.pingMs !== undefined && { pingMs: options.pingMs }),
  });

  const server = createServer({
    logger,
    tracing: config.tracing,
    ...(options.headersTimeoutMs !== undefined && { headersTimeoutMs: options.headersTimeoutMs }),
    ...(options.requestTimeoutMs !== undefined && { requestTimeoutMs: options.requestTimeoutMs }),
    onResponse: metrics.of(httpMetrics).onResponse,
  });
  await describeApi(server, options.version);
  healthRoute(server, readiness(booted), async () => ({
    emulated: options.emulated,
    relay: { leads: await commands.whoLeads() },
    projector: await projector.lag().then(({ position, head }) => ({ position, head, lag: head - position })),
  }));
  await server.register(commands.routes);
  await server.register(queries.routes);
  await serveApiDescription(server);
  return server;
}
