/**
 * Rebuilds that were asked for over HTTP, done one at a time beside the tailing of this process. The row is the job: what
 * a process leaves that stops or dies is taken up by the next one that looks, and the lock lets one of several do it.
 */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { isConnectionLoss, isRetryable } from '../../platform/postgres/sqlstate.ts';
import type { HintBus } from '../../platform/redis/hints.ts';
import { createWake } from '../../platform/wake.ts';
import { createTeller } from './progress.ts';
import { type Progress, RebuildBusyError, type Rebuilt, rebuildIn, withRebuildPool } from './rebuild.ts';

const OPEN = readSql(import.meta.url, 'sql/open-job.sql');
const BEGIN = readSql(import.meta.url, 'sql/begin-job.sql');
const END = readSql(import.meta.url, 'sql/end-job.sql');

const LOOK_MS = 1_000;
const PAUSE_MS = 3_000;
/** A rebuild that takes its process or its server down with it must not do so for ever. */
const MOST_TRIES = 20;
/**
 * The event loop is shared with the tailing, and what is folded in one go holds it. Measured with 35,000 events and prompts
 * flowing, on two busy cores: 4 lanes and pages of 8,000 held the loop for 600 ms and the live version for 1.3 s; one lane
 * and pages of 500 for 90 and 120 ms at 0.9 of the speed; two lanes for 170 and 250 ms at the same speed as four.
 */
const LANES = 1;
const BATCH = 500;

export type RebuildOutcome = Rebuilt['outcome'] | 'failed';

export type RebuildJobsOptions = {
  /** Rebuilds have connections of their own: their statements take long. */
  uri: string;
  archiveDir?: string | undefined;
  pool: pg.Pool;
  hints: HintBus;
  logger: Record<'info' | 'warn' | 'error', (o: object, m: string) => void>;
  /** Null: none runs here any more. */
  onProgress?: (progress: Progress | null) => void;
  onEnded?: (outcome: RebuildOutcome) => void;
};

export type RebuildJobs = { start: () => void; stop: () => Promise<void> };

type Job = {
  id: string;
  dryRun: boolean;
  requestedBy: string;
  version: number | null;
  tries: number;
  isServed: boolean;
};

export function createRebuildJobs(options: RebuildJobsOptions): RebuildJobs {
  const { uri, pool, hints, logger } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const wake = createWake();
  let loop: Promise<void> | null = null;
  let unsubscribe = () => {};

  async function run(): Promise<void> {
    while (!signal.aborted) {
      let pauseMs = LOOK_MS;
      try {
        const { rows } = await pool.query<{ id: string }>({ name: 'open-job', text: OPEN });
        const [open] = rows;
        if (open) await withRebuildPool({ uri, max: LANES + 4, signal }, (own, ended) => take(own, open.id, ended));
      } catch (error) {
        if (signal.aborted) break;
        if (!(error instanceof RebuildBusyError)) {
          logger.warn({ err: error }, 'rebuild: broken off, it is taken up again');
          pauseMs = PAUSE_MS;
        }
      }
      if (!signal.aborted) await wake.wait(pauseMs);
    }
  }

  /** With the lock held: nobody else does this job, and nobody begins it before its end is on record. */
  async function take(own: pg.Pool, id: string, ended: AbortSignal): Promise<void> {
    const { rows } = await own.query<Job>(BEGIN, [id]);
    const [job] = rows;
    if (!job) return; // ended meanwhile
    if (job.isServed) return end(own, job, { outcome: 'switched', version: job.version }); // died just after the switch
    if (job.tries > MOST_TRIES) return fail(own, job, new Error(`given up: it was begun ${MOST_TRIES} times`));
    logger.info({ rebuild: id, requestedBy: job.requestedBy, tries: job.tries }, 'rebuild: begun');
    const teller = createTeller({ pool: own, hints, id, logger });
    try {
      const result = await rebuildIn(own, {
        dryRun: job.dryRun,
        lanes: LANES,
        batchSize: BATCH,
        archiveDir: options.archiveDir,
        signal: ended,
        onProgress: (progress) => {
          options.onProgress?.(progress);
          teller.tell(progress);
        },
      });
      await teller.done();
      const error =
        result.equal === false ? `differs from version ${result.former}: ${result.differing.join(', ')}` : null;
      await end(own, job, { outcome: result.outcome, version: result.version, error });
    } catch (error) {
      options.onProgress?.(null);
      await teller.done();
      // What may pass is tried again; what would come again is told.
      if (ended.aborted || isConnectionLoss(error) || isRetryable(error)) throw error;
      await fail(own, job, error as Error);
    }
  }

  async function fail(own: pg.Pool, job: Job, error: Error): Promise<void> {
    logger.error({ err: error, rebuild: job.id }, 'rebuild: failed, what is served stays as it is');
    await end(own, job, { outcome: 'failed', version: null, error: error.message });
  }

  type End = { outcome: RebuildOutcome; version: number | null; error?: string | null };

  async function end(own: pg.Pool, job: Job, { outcome, version, error = null }: End): Promise<void> {
    await own.query(END, [job.id, outcome, version, error]);
    hints.send('rebuild');
    options.onProgress?.(null);
    options.onEnded?.(outcome);
    if (outcome !== 'failed') logger.info({ rebuild: job.id, version, outcome, error }, 'rebuild: ended');
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
