/** The projector, built but not running. */
import type pg from 'pg';
import { countParked } from '../platform/postgres/parked.ts';
import type { RedisClient } from '../platform/redis/connection.ts';
import type { HintBus } from '../platform/redis/hints.ts';
import { readStreamDepth } from '../platform/redis/stream-depth.ts';
import { projectorMetrics } from '../platform/telemetry/instruments/projector.ts';
import { streamMetrics } from '../platform/telemetry/instruments/streams.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { createArchivedEvents } from './archived-events.ts';
import { createAuditor } from './ledger/auditor.ts';
import { readDaySpent } from './ledger/day-spent.ts';
import { createStore } from './projection-store.ts';
import { projections } from './projections/registry.ts';
import { createRebuildJobs } from './rebuild/jobs.ts';
import { readLastOutcome } from './rebuild/last-outcome.ts';
import { createRunner, type RunnerLogger } from './runner.ts';
import { traceSteps } from './traced-store.ts';
import { readAgeBehind, readLag, tailedVersions } from './versions.ts';
import { createWakeUp, PROJECTOR_GROUP } from './wake-up.ts';

export type ProjectorOptions = {
  /** For rebuilds, which have connections of their own. */
  postgresUri: string;
  /** Of the archive, which rebuilds and new projections read where the beginning of the log has left it. */
  archiveDir: string | undefined;
  pool: pg.Pool;
  /** Of the projector alone: it blocks. */
  blockingRedis: RedisClient;
  /** For what its metrics tell of the stream. */
  redis: RedisClient;
  hints: HintBus;
  resultsStream: string;
  logger: RunnerLogger;
  sleep: (ms: number) => Promise<void>;
  metrics?: Metrics;
  /** The log has a hole. */
  onBroken: (error: Error) => void;
};

export type Projector = {
  start: () => void;
  stop: () => Promise<void>;
  /** Where the live version stands, and the log. */
  lag: () => Promise<{ position: number; head: number }>;
};

export function createProjector(options: ProjectorOptions): Projector {
  const { hints, logger, metrics, pool } = options;
  const meter = metrics?.of(projectorMetrics);
  const archived = options.archiveDir === undefined ? null : createArchivedEvents(pool, options.archiveDir);
  // One for each projection: none waits for another.
  const runners = [...projections.values()].map((projection) =>
    createRunner({
      versions: () => tailedVersions(pool, projection.name),
      storeOf: (version) =>
        traceSteps(createStore(pool, projection, version, archived), { name: projection.name, version }),
      logger,
      onMoved: ({ events }) => {
        hints.send('read');
        meter?.onFolded(events);
      },
      onBroken: options.onBroken,
    }),
  );
  const wake = () => {
    for (const runner of runners) runner.wake();
  };
  const wakeUp = createWakeUp({
    redis: options.blockingRedis,
    stream: options.resultsStream,
    // One for all replicas: wake-ups are acknowledged as they are read, and names of dead processes would pile up.
    consumer: 'projector',
    ring: wake,
    sleep: options.sleep,
    logger,
  });
  const rebuilds = createRebuildJobs({
    uri: options.postgresUri,
    archiveDir: options.archiveDir,
    pool,
    hints,
    logger,
    ...(meter && { onProgress: meter.onRebuildProgress }),
  });
  const auditor = createAuditor({ pool, logger, onAudit: meter?.onAudit });
  let unsubscribe: (() => void) | null = null;
  meter?.watchLag(async () => {
    const { position, head } = await readLag(pool);
    return { events: head - position, seconds: await readAgeBehind(pool, position) };
  });
  meter?.watchParked(() => countParked(pool));
  meter?.watchDay(() => readDaySpent(pool));
  meter?.watchLastRebuild(() => readLastOutcome(pool));
  metrics
    ?.of(streamMetrics)
    .watch(options.resultsStream, PROJECTOR_GROUP, () =>
      readStreamDepth(options.redis, options.resultsStream, PROJECTOR_GROUP),
    );

  return {
    start: () => {
      unsubscribe = hints.on('log', wake);
      wakeUp.start();
      for (const runner of runners) runner.start();
      rebuilds.start();
      auditor.start();
    },
    stop: async () => {
      unsubscribe?.();
      await Promise.all([auditor.stop(), rebuilds.stop(), wakeUp.stop(), ...runners.map((runner) => runner.stop())]);
      await archived?.close();
    },
    lag: () => readLag(pool),
  };
}
