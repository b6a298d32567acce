/** command-api as a process of its own. */
import { openAppender, openServerClock, runService } from '../platform/boot.ts';
import { budgetFrom } from '../platform/config/budget.ts';
import { healthRoute } from '../platform/http/health.ts';
import { createServer } from '../platform/http/server.ts';
import { createKeyVerifier } from '../platform/postgres/api-keys.ts';
import { openServedModels } from '../platform/prices/served-models.ts';
import { readiness } from '../platform/readiness.ts';
import { httpMetrics } from '../platform/telemetry/instruments/http.ts';
import { createCommandApi } from './app.ts';

await runService('command-api', { served: openServedModels }, async (booted, { served }) => {
  const { config, lifecycle, logger, metrics, pool, redis, hints, name, stopping, sleep } = booted;
  const now = await openServerClock(booted);
  const appender = openAppender(booted, config.POSTGRES_URI!, config.APPEND_QUEUE_LIMIT);
  const { book } = served;
  const api = await createCommandApi({
    name,
    postgresUri: config.POSTGRES_URI!,
    pool,
    appender,
    redis,
    hints,
    tasksStream: config.REDIS_PUB_STREAM_ID,
    verifyKey: createKeyVerifier(pool),
    models: new Set(served.models.map(({ model }) => model)),
    defaultModel: served.defaultModel,
    costBound: (ask) => ({ nanoUsd: book.upperBound({ ...ask, at: now() }), priceVersion: book.version }),
    budget: budgetFrom(config),
    now,
    logger,
    metrics,
  });
  api.relay.start();
  lifecycle.push('relay', api.relay.stop);
  const server = createServer({
    logger,
    tracing: config.tracing,
    stopping,
    onResponse: metrics.of(httpMetrics).onResponse,
  });
  healthRoute(server, readiness(booted), async () => ({ relay: { leads: await api.whoLeads() } }));
  await server.register(api.routes);
  await server.listen({ host: config.HOST, port: config.PORT });
  lifecycle.push('http', async () => {
    await sleep(config.SHUTDOWN_DELAY_SECONDS * 1_000);
    await server.close();
  });
});
