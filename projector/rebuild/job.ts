/** One rebuild and its row: begun, told of while it is done, ended. For one who holds the lock of rebuilds. */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { isConnectionLoss, isRetryable } from '../../platform/postgres/sqlstate.ts';
import type { HintBus } from '../../platform/redis/hints.ts';
import { createTeller } from './progress.ts';
import { type Progress, type RebuildOptions, type Rebuilt, rebuildIn } from './rebuild.ts';
import { dropVersion, listVersions } from './versions.ts';

const BEGIN = readSql(import.meta.url, 'sql/begin-job.sql');
const END = readSql(import.meta.url, 'sql/end-job.sql');

/** A rebuild that takes its process or its server down with it must not do so for ever. */
const MOST_TRIES = 20;

export type RebuildOutcome = Rebuilt['outcome'] | 'failed' | 'cancelled';

export type Job = {
  id: string;
  dryRun: boolean;
  acceptDifferences: boolean;
  requestedBy: string;
  version: number | null;
  tries: number;
  byTool: boolean;
  cancelledBy: string | null;
  isServed: boolean;
};

export type End = { outcome: RebuildOutcome; version: number | null; error: string | null };

/** The abort reason of whoever does a rebuild that was cancelled: it is begun once more, to be ended. */
export class RebuildCancelled extends Error {
  readonly by: string;
  constructor(by: string) {
    super(`cancelled by ${by}`);
    this.by = by;
  }
}

/** Null: it has ended meanwhile. */
export async function beginJob(own: pg.Pool, id: string): Promise<Job | null> {
  const { rows } = await own.query<Job>(BEGIN, [id]);
  return rows[0] ?? null;
}

/** Once: a second end changes nothing. */
export async function endJob(own: pg.Pool, id: string, { outcome, version, error }: End): Promise<void> {
  await own.query(END, [id, outcome, version, error]);
}

/** The end of a job that is not to be done: it is over, nobody wants it, or whoever did it is gone. Null: it is to be done. */
export async function endWithoutDoing(own: pg.Pool, job: Job): Promise<End | null> {
  const { version } = job;
  if (job.isServed) return { outcome: 'switched', version, error: null }; // died just after the switch
  if (job.cancelledBy !== null) {
    if ((await listVersions(own)).some((one) => one.version === version)) await dropVersion(own, version as number);
    return { outcome: 'cancelled', version, error: `cancelled by ${job.cancelledBy}` };
  }
  if (job.byTool)
    return { outcome: 'failed', version, error: 'broken off: "npm run replay" takes up what it has left' };
  if (job.tries > MOST_TRIES)
    return { outcome: 'failed', version, error: `given up: it was begun ${MOST_TRIES} times` };
  return null;
}

export type DoOptions = {
  rebuild: Omit<RebuildOptions, 'dryRun' | 'acceptDifferences' | 'onProgress' | 'logger' | 'signal'>;
  hints: Pick<HintBus, 'send'>;
  logger: { warn: (o: object, m: string) => void };
  /** Null: none runs any more. */
  onProgress?: ((progress: Progress | null) => void) | undefined;
  /** Aborts `signal`, and with it everything that is under way. */
  cancel: (reason: RebuildCancelled) => void;
  signal: AbortSignal;
};

/** `result` is null when it failed; then `cause` is why. */
export type Done = { end: End; result: Rebuilt | null; cause: unknown };

/** Rejects with what may pass, or was broken off: the job stays open then, and is to be begun again. */
export async function doJob(own: pg.Pool, job: Job, options: DoOptions): Promise<Done> {
  const { hints, logger, signal, cancel } = options;
  const onCancelled = (by: string) => cancel(new RebuildCancelled(by));
  const teller = createTeller({ pool: own, hints, id: job.id, logger, onCancelled });
  try {
    const result = await rebuildIn(own, {
      ...options.rebuild,
      dryRun: job.dryRun,
      acceptDifferences: job.acceptDifferences,
      logger,
      signal,
      onProgress: (progress) => {
        options.onProgress?.(progress);
        teller.tell(progress);
      },
    });
    await teller.done();
    const { outcome, version, former, differing } = result;
    const error = result.equal === false ? `differs from version ${former}: ${differing.join(', ')}` : null;
    return { end: { outcome, version, error }, result, cause: null };
  } catch (error) {
    await teller.done();
    // What may pass is tried again; what would come again is told.
    if (signal.aborted || isConnectionLoss(error) || isRetryable(error)) throw error;
    return { end: { outcome: 'failed', version: null, error: (error as Error).message }, result: null, cause: error };
  } finally {
    options.onProgress?.(null);
  }
}
