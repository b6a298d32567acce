/**
 * Rebuilds that were asked for over HTTP, done one at a time beside the tailing of this process. The row is the job: what
 * a process leaves that stops or dies is taken up by the next one that looks, and the lock lets one of several do it.
 */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';
import type { HintBus } from '../../platform/redis/hints.ts';
import { createWake } from '../../platform/wake.ts';
import { beginJob, doJob, type End, endJob, endWithoutDoing, type Job, RebuildCancelled } from './job.ts';
import { connectionsFor, type Progress, RebuildBusyError, withRebuildPool } from './rebuild.ts';

export type { RebuildOutcome } from './job.ts';

const OPEN = readSql(import.meta.url, 'sql/open-job.sql');

const LOOK_MS = 1_000;
const PAUSE_MS = 3_000;
/**
 * The event loop is shared with the tailing, and what is folded in one go holds it. Measured with 35,000 events and prompts
 * flowing, on two busy cores: 4 lanes and pages of 8,000 held the loop for 600 ms and the live version for 1.3 s; one lane
 * and pages of 500 for 90 and 120 ms at 0.9 of the speed; two lanes for 170 and 250 ms at the same speed as four.
 */
const LANES = 1;
const BATCH = 500;

export type RebuildJobsOptions = {
  /** Rebuilds have connections of their own: their statements take long. */
  uri: string;
  archiveDir?: string | undefined;
  pool: pg.Pool;
  hints: HintBus;
  logger: Record<'info' | 'warn' | 'error', (o: object, m: string) => void>;
  /** Null: none runs here any more. */
  onProgress?: (progress: Progress | null) => void;
};

export type RebuildJobs = { start: () => void; stop: () => Promise<void> };

export function createRebuildJobs(options: RebuildJobsOptions): RebuildJobs {
  const { uri, pool, hints, logger } = options;
  const stopping = new AbortController();
  const wake = createWake();
  let loop: Promise<void> | null = null;
  let unsubscribe = () => {};

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      let pauseMs = LOOK_MS;
      const cancelling = new AbortController();
      const signal = AbortSignal.any([stopping.signal, cancelling.signal]);
      const cancel = (reason: RebuildCancelled) => cancelling.abort(reason);
      try {
        const { rows } = await pool.query<{ id: string }>({ name: 'open-job', text: OPEN });
        const [open] = rows;
        if (open)
          await withRebuildPool({ uri, max: connectionsFor(LANES), signal }, (own, ended) =>
            take(own, open.id, ended, cancel),
          );
      } catch (error) {
        if (stopping.signal.aborted) break;
        if (error instanceof RebuildCancelled) {
          logger.info({ by: error.by }, 'rebuild: cancelled, it is broken off');
        } else if (!(error instanceof RebuildBusyError)) {
          logger.warn({ err: error }, 'rebuild: broken off, it is taken up again');
          pauseMs = PAUSE_MS;
        }
      }
      if (!stopping.signal.aborted) await wake.wait(pauseMs);
    }
  }

  /** With the lock held: nobody else does this job, and nobody begins it before its end is on record. */
  async function take(
    own: pg.Pool,
    id: string,
    signal: AbortSignal,
    cancel: (reason: RebuildCancelled) => void,
  ): Promise<void> {
    const job = await beginJob(own, id);
    if (!job) return;
    const known = await endWithoutDoing(own, job);
    if (known) return end(own, job, known);
    logger.info({ rebuild: id, requestedBy: job.requestedBy, tries: job.tries }, 'rebuild: begun');
    const done = await doJob(own, job, {
      rebuild: { lanes: LANES, batchSize: BATCH, archiveDir: options.archiveDir },
      hints,
      logger,
      onProgress: options.onProgress,
      cancel,
      signal,
    });
    await end(own, job, done.end, done.cause);
  }

  async function end(own: pg.Pool, job: Job, ended: End, cause: unknown = null): Promise<void> {
    const { outcome, version, error } = ended;
    await endJob(own, job.id, ended);
    hints.send('rebuild');
    if (outcome === 'failed')
      logger.error({ err: cause ?? error, rebuild: job.id }, 'rebuild: failed, what is served stays as it is');
    else logger.info({ rebuild: job.id, version, outcome, error }, 'rebuild: ended');
  }

  return {
    start: () => {
      unsubscribe = hints.on('rebuild', wake.ring);
      loop ??= run();
    },
    stop: async () => {
      stopping.abort(new Error('the projector stops'));
      unsubscribe();
      wake.ring();
      await loop;
    },
  };
}
