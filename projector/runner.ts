/** Tails the log for every version of the projection that is served or kept ready; woken by hints, right by polling. */
import { LogArchivedError, LogGapError } from '../platform/postgres/read.ts';
import { createWake } from '../platform/wake.ts';
import { projectBatch } from './project-batch.ts';
import type { ProjectionStore } from './projection-store.ts';

export type RunnerLogger = Record<'info' | 'warn' | 'error', (o: object, m: string) => void>;

export type RunnerOptions<State, Rows> = {
  /** Versions to tail: the live one, and those kept ready. */
  versions: () => Promise<number[]>;
  storeOf: (version: number) => ProjectionStore<State, Rows>;
  logger: RunnerLogger;
  batchSize?: number;
  pollMs?: number;
  /** After each commit. */
  onMoved: (moved: { version: number; position: number; events: number }) => void;
  /** The log has a hole: nothing more can be folded, and somebody must look. */
  onBroken: (error: LogGapError) => void;
};

export type Runner = {
  start: () => void;
  wake: () => void;
  stop: () => Promise<void>;
};

const VERSIONS_TTL_MS = 1_000;

export function createRunner<State, Rows>(options: RunnerOptions<State, Rows>): Runner {
  const { logger, batchSize = 1_000, pollMs = 100 } = options;
  const wake = createWake();
  let stopping = false;
  let loop: Promise<void> | null = null;
  let versions: { readAt: number; list: number[] } = { readAt: -Infinity, list: [] };

  async function run(): Promise<void> {
    while (!stopping) {
      try {
        let moved = false;
        for (const version of await tailedVersions()) moved = (await stepUnlessDropped(version)) || moved;
        if (!moved) await wake.wait(pollMs);
      } catch (error) {
        if (error instanceof LogGapError) {
          const why = error instanceof LogArchivedError ? 'what comes next has left the log' : 'the log has a hole';
          logger.error({ err: error }, `projector: ${why}, nothing is folded beyond it`);
          options.onBroken(error);
          return;
        }
        logger.warn({ err: error }, 'projector: a step failed, it is made again');
        await wake.wait(500);
      }
    }
  }

  /** One dropped a moment ago, as a rebuild does with the former one, is no fault that the others should wait for. */
  async function stepUnlessDropped(version: number): Promise<boolean> {
    try {
      return await step(version);
    } catch (error) {
      if (error instanceof LogGapError) throw error;
      versions.readAt = -Infinity;
      if ((await tailedVersions()).includes(version)) throw error;
      return true;
    }
  }

  async function step(version: number): Promise<boolean> {
    const onParked = (error: Error) =>
      logger.error({ err: error, version }, 'projector: an event could not be folded, its stream is set aside');
    const result = await projectBatch({ store: options.storeOf(version), batchSize, onPoison: 'park', onParked });
    if (result.status === 'moved') options.onMoved({ version, position: result.position, events: result.events });
    return result.status === 'moved';
  }

  async function tailedVersions(): Promise<number[]> {
    if (performance.now() - versions.readAt < VERSIONS_TTL_MS) return versions.list;
    versions = { readAt: performance.now(), list: await options.versions() };
    return versions.list;
  }

  return {
    start: () => {
      loop ??= run();
    },
    wake: wake.ring,
    stop: async () => {
      stopping = true;
      wake.ring();
      await loop;
    },
  };
}
