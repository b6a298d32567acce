/** query-api, built but not listening: routes for a server, and the feed behind them. */
import type { FastifyPluginAsync } from 'fastify';
import { protect } from '../platform/http/authenticate.ts';
import type { Server } from '../platform/http/server.ts';
import { findLiveVersion } from '../platform/postgres/live-version.ts';
import { readHead } from '../platform/postgres/read.ts';
import { liveMetrics } from '../platform/telemetry/instruments/live.ts';
import type { QueryApiOptions, ReadDeps } from './deps.ts';
import { createFeed, type Feed } from './feed/feed.ts';
import { createHub } from './feed/hub.ts';
import { createRebuildWatch } from './feed/rebuild-watch.ts';
import { createSessions } from './feed/sessions.ts';
import { createTailer } from './feed/tailer.ts';
import { createCache } from './read-models/cache.ts';
import { createLiveModel, type LiveModel } from './read-models/live-model.ts';
import { recentRebuilds } from './read-models/projections.ts';
import { createPromptReader } from './read-models/prompt-reader.ts';
import { createReads } from './read-models/reads.ts';
import { consoleRoutes } from './routes/console.ts';
import { ledgerRoute } from './routes/ledger.ts';
import { liveRoutes } from './routes/live.ts';
import { modelsRoute } from './routes/models.ts';
import { parkedRoute } from './routes/parked.ts';
import { projectionRoutes } from './routes/projections.ts';
import { promptRoutes } from './routes/prompts.ts';
import { statsRoutes } from './routes/stats.ts';
import { timelineRoute } from './routes/timeline.ts';

export type { QueryApiOptions } from './deps.ts';
export type QueryApi = { routes: FastifyPluginAsync };

/** A revoked key's connections end within this time. */
const CHECK_KEYS_MS = 5_000;

export function createQueryApi(options: QueryApiOptions): QueryApi {
  const { replica, primaryPool, redis, hints, logger, verifyKey } = options;
  const reads = replica
    ? createReads({
        replica: replica.pool,
        primary: replica.inItsPlace,
        promised: () => live.current().position,
        cursorOf: async (db) => (await findLiveVersion(db)).position,
        log: logger,
      })
    : null;
  const pool = reads ?? primaryPool;
  const live: LiveModel = createLiveModel(pool, {
    onSeen: () => tailer.ring(),
    readHead: () => readHead(primaryPool),
    onRewound: () => {
      logger.error({ position: live.current().position }, 'query: the log has lost its end; all feeds begin anew');
      feed.rewind();
    },
  });
  const onPoison = (promptId: string, error: unknown) =>
    logger.error({ promptId, err: error }, 'query: a stream cannot be folded');
  const reader = createPromptReader({ pool, primary: primaryPool, live, onPoison });
  const hub = createHub();
  const tailer = createTailer({ pool, live, reader, hub, hints, log: logger });
  const rebuilds = createRebuildWatch({
    read: () => recentRebuilds(primaryPool),
    onHint: (look) => hints.on('rebuild', look),
    log: logger,
  });
  const meter = options.metrics?.of(liveMetrics);
  const feed: Feed = createFeed({
    pool,
    primary: primaryPool,
    reader,
    hub,
    tailer,
    rebuilds,
    log: logger,
    ...(meter && { onResync: meter.onResync }),
  });
  meter?.watch(feed.backlog);
  const sessions = createSessions(primaryPool);
  const cache = createCache(redis, options.cacheTtlMinutes, (error) =>
    logger.warn({ err: error }, 'cache: Redis does not answer, reads go to Postgres'),
  );
  const closing = new AbortController();
  const deps: ReadDeps = { pool, primaryPool, redis, logger, live, reader, cache, feed, closing: closing.signal };

  async function checkKeys(): Promise<void> {
    try {
      await sessions.check();
    } catch (error) {
      logger.warn({ err: error }, 'live: keys could not be checked, nobody is put out for that');
    }
  }

  const routes: FastifyPluginAsync = async (instance) => {
    await feed.start();
    const timer = setInterval(() => void checkKeys(), CHECK_KEYS_MS);
    instance.addHook('preClose', async () => closing.abort());
    instance.addHook('onClose', async () => {
      clearInterval(timer);
      await feed.stop();
      reads?.close();
    });
    await instance.register(async (scope) => {
      const server = scope as unknown as Server;
      protect(server, verifyKey);
      promptRoutes(server, deps);
      timelineRoute(server, deps);
      statsRoutes(server, deps);
      ledgerRoute(server, deps);
      parkedRoute(server, deps);
      modelsRoute(server, options);
      projectionRoutes(server, primaryPool);
    });
    await instance.register((scope) =>
      liveRoutes(scope, {
        feed,
        reader,
        sessions,
        redis,
        verifyKey,
        ...(options.pingMs !== undefined && { pingMs: options.pingMs }),
      }),
    );
    if (options.consoleDir) await consoleRoutes(instance as unknown as Server, options.consoleDir);
  };
  return { routes };
}
