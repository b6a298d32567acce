/** query-api as a process of its own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runService } from '../platform/boot.ts';
import { healthRoute } from '../platform/http/health.ts';
import { describeApi, serveApiDescription } from '../platform/http/openapi.ts';
import { createServer } from '../platform/http/server.ts';
import { createKeyVerifier } from '../platform/postgres/api-keys.ts';
import { refuseWrongLogin } from '../platform/postgres/refused-login.ts';
import { openServedModels } from '../platform/prices/served-models.ts';
import { readiness } from '../platform/readiness.ts';
import { httpMetrics } from '../platform/telemetry/instruments/http.ts';
import { ANSWER_WITHIN_MS, within } from '../platform/within.ts';
import { createQueryApi } from './app.ts';

/** What the primary has to spare for each query-api whose replica is away. */
const FALLBACK_CONNECTIONS = 4;

await runService('query-api', { served: openServedModels }, async (booted, { served }) => {
  const { config, lifecycle, logger, metrics, pool, redis, hints, openPool, stopping, sleep } = booted;
  const replica = config.POSTGRES_READ_URI ? openPool('reads', config.POSTGRES_READ_URI, 8) : null;
  if (replica) await refuseWrongLogin('POSTGRES_READ_URI', replica);
  const api = createQueryApi({
    replica: replica && { pool: replica, inItsPlace: openPool('fallback', config.POSTGRES_URI!, FALLBACK_CONNECTIONS) },
    primaryPool: pool,
    redis,
    hints,
    verifyKey: createKeyVerifier(pool),
    models: served.models,
    defaultModel: served.defaultModel,
    priceVersion: served.book.version,
    cacheTtlMinutes: config.CACHE_TTL_MINUTES,
    logger,
    metrics,
    consoleDir: join(import.meta.dirname, '../console/dist'),
  });
  const server = createServer({
    logger,
    tracing: config.tracing,
    stopping,
    onResponse: metrics.of(httpMetrics).onResponse,
  });
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
    version: string;
  };
  await describeApi(server, version);
  healthRoute(server, readiness(booted), lags);
  await server.register(api.routes);
  await serveApiDescription(server);
  await server.listen({ host: config.HOST, port: config.PORT });
  lifecycle.push('http', async () => {
    await sleep(config.SHUTDOWN_DELAY_SECONDS * 1_000);
    await server.close();
  });

  type Lag = { position: number; head: number; lag: number };

  /** Events between the log and what is read: as far as the projector is, and as far as the replica has that. */
  async function lags(): Promise<{ projector: Lag | null; replica?: Lag | null }> {
    const text = `SELECT c.position, h.position AS head, h.position - c.position AS lag
      FROM log_head h, live_projection c WHERE c.name = 'prompts'`;
    const lagOf = async (db: typeof pool): Promise<Lag | null> => {
      try {
        return (await within(ANSWER_WITHIN_MS, db.query<Lag>(text))).rows[0] ?? null;
      } catch (error) {
        logger.warn({ err: error }, 'health: how far what is read lags behind could not be told');
        return null;
      }
    };
    const [here, there] = await Promise.all([lagOf(pool), replica ? lagOf(replica) : null]);
    if (!replica) return { projector: here };
    if (!here || !there) return { projector: here, replica: null };
    const lag = Math.max(0, here.head - there.position); // of two moments: the replica may be asked later
    return { projector: here, replica: { position: there.position, head: here.head, lag } };
  }
});
