/** The projector, built but not running. */
import type pg from 'pg';
import { countParked } from '../platform/postgres/parked.ts';
import type { RedisClient } from '../platform/redis/connection.ts';
import type { HintBus } from '../platform/redis/hints.ts';
import { ledgerMismatch } from './ledger.ts';
import { createProjectionStore } from './projection-store.ts';
import { createRunner, type Runner, type RunnerLogger } from './runner.ts';
import { readLag, tailedVersions } from './versions.ts';
import { createWakeUp } from './wake-up.ts';

export type ProjectorOptions = {
  name: string;
  pool: pg.Pool;
  /** Of the projector alone: it blocks. */
  blockingRedis: RedisClient;
  hints: HintBus;
  resultsStream: string;
  logger: RunnerLogger;
  sleep: (ms: number) => Promise<void>;
  onFolded?: (events: number) => void;
  onLedger?: (mismatch: { nanoUsd: number; prompts: number }) => void;
  /** The log has a hole. */
  onBroken: (error: Error) => void;
};

export type Projector = Pick<Runner, 'start' | 'stop'> & {
  /** Where the live version stands, and the log. */
  lag: () => Promise<{ position: number; head: number }>;
  /** Streams set aside, by projection. */
  parked: () => Promise<Map<string, number>>;
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
    consumer: options.name,
    ring: runner.wake,
    sleep: options.sleep,
    logger,
  });
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
      ledgerTimer = setInterval(() => void checkLedger(), LEDGER_EVERY_MS);
    },
    stop: async () => {
      clearInterval(ledgerTimer);
      unsubscribe?.();
      await wakeUp.stop();
      await runner.stop();
    },
    lag: () => readLag(pool),
    parked: () => countParked(pool),
  };
}
