/** The projector, built but not running. */
import type pg from 'pg';
import type { RedisClient } from '../platform/redis/connection.ts';
import type { HintBus } from '../platform/redis/hints.ts';
import { ledgerMismatch } from './ledger.ts';
import { createProjectionStore } from './projection-store.ts';
import { createRebuildJobs, type RebuildJobsOptions } from './rebuild/jobs.ts';
import { createRunner, type Runner, type RunnerLogger } from './runner.ts';
import { readLag, tailedVersions } from './versions.ts';
import { createWakeUp } from './wake-up.ts';

export type ProjectorOptions = {
  /** For rebuilds, which have connections of their own. */
  postgresUri: string;
  pool: pg.Pool;
  /** Of the projector alone: it blocks. */
  blockingRedis: RedisClient;
  hints: HintBus;
  resultsStream: string;
  logger: RunnerLogger;
  sleep: (ms: number) => Promise<void>;
  onFolded?: (events: number) => void;
  onLedger?: (mismatch: { nanoUsd: number; prompts: number }) => void;
  onRebuild?: Pick<RebuildJobsOptions, 'onProgress' | 'onEnded'>;
  /** The log has a hole. */
  onBroken: (error: Error) => void;
};

export type Projector = Pick<Runner, 'start' | 'stop'> & {
  /** Where the live version stands, and the log. */
  lag: () => Promise<{ position: number; head: number }>;
};

const LEDGER_EVERY_MS = 60_000;

export function createProjector(options: ProjectorOptions): Projector {
  const { hints, logger, pool } = options;
  const runner = createRunner({
    versions: () => tailedVersions(pool),
    storeOf: (version) => createProjectionStore(pool, version),
    logger,
    onMoved: ({ events }) => {
      hints.send('read');
      options.onFolded?.(events);
    },
    onBroken: options.onBroken,
  });
  const wakeUp = createWakeUp({
    redis: options.blockingRedis,
    stream: options.resultsStream,
    // One for all replicas: wake-ups are acknowledged as they are read, and names of dead processes would pile up.
    consumer: 'projector',
    ring: runner.wake,
    sleep: options.sleep,
    logger,
  });
  const rebuilds = createRebuildJobs({ uri: options.postgresUri, pool, hints, logger, ...options.onRebuild });
  let unsubscribe: (() => void) | null = null;
  let ledgerTimer: ReturnType<typeof setInterval> | undefined;

  async function checkLedger(): Promise<void> {
    try {
      const mismatch = await ledgerMismatch(pool);
      options.onLedger?.(mismatch);
      if (mismatch.nanoUsd !== 0 || mismatch.prompts !== 0)
        logger.error(mismatch, 'ledger: the sums of the read models disagree');
    } catch (error) {
      logger.warn({ err: error }, 'ledger: could not be checked');
    }
  }

  return {
    start: () => {
      unsubscribe = hints.on('log', runner.wake);
      wakeUp.start();
      runner.start();
      rebuilds.start();
      ledgerTimer = setInterval(() => void checkLedger(), LEDGER_EVERY_MS);
    },
    stop: async () => {
      clearInterval(ledgerTimer);
      unsubscribe?.();
      await Promise.all([rebuilds.stop(), wakeUp.stop(), runner.stop()]);
    },
    lag: () => readLag(pool),
  };
}
