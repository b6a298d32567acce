/** A rebuild done in a tool's own process, with a row as one that was asked for over HTTP has: there it is read how far it is. */
import { setTimeout } from 'node:timers/promises';
import type pg from 'pg';
import { newId } from '../../platform/ids.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { PROMPTS } from '../projection-store.ts';
import { beginJob, doJob, endJob, endWithoutDoing, type Job, RebuildCancelled } from './job.ts';
import {
  connectionsFor,
  lanesOf,
  RebuildBusyError,
  RebuildError,
  type RebuildOptions,
  type Rebuilt,
  refuseRebuild,
  withRebuildPool,
} from './rebuild.ts';

const ADD = readSql(import.meta.url, 'sql/add-tool-job.sql');
const LEFT = readSql(import.meta.url, 'sql/left-job.sql');
const ASK_EVERY_MS = 200;
/** Of a tool: then another one is at it. */
export const TRIES = 6;

export type ToolOptions = Omit<RebuildOptions, 'signal'> & {
  uri: string;
  /** Who does it, as others see it. */
  tool: string;
  logger: { warn: (o: object, m: string) => void };
};

/** Throws `RebuildError` when it cannot be done, or somebody has cancelled it. */
export async function rebuildByTool(options: ToolOptions): Promise<Rebuilt> {
  const { uri, onProgress, dryRun: _, acceptDifferences: __, tool: ___, logger, ...rebuild } = options;
  const lanes = lanesOf(options);
  const cancelling = new AbortController();
  const cancel = (reason: RebuildCancelled) => cancelling.abort(reason);
  let id: string | null = null;
  try {
    const connections = { uri, max: connectionsFor(lanes), signal: cancelling.signal };
    return await whenFree(TRIES, connections, async (own, signal) => {
      await refuseRebuild(own, options); // only who typed it need hear of it: there is no row
      const job = await openJob(own, options);
      id = job.id;
      const { end, result, cause } = await doJob(own, job, {
        rebuild: { ...rebuild, lanes },
        hints: { send: () => {} }, // who listens looks once a second
        logger,
        onProgress: (progress) => {
          if (progress) onProgress(progress);
        },
        cancel,
        signal,
      });
      await endJob(own, job.id, end);
      if (!result) throw cause;
      return result;
    });
  } catch (error) {
    if (!(error instanceof RebuildCancelled) || id === null) throw error;
    const outcome = await endCancelled(uri, id);
    const came = outcome === 'switched' ? 'too late: its version is served' : 'what it had built is dropped';
    throw new RebuildError(`The rebuild was cancelled by ${error.by}, ${came}.`);
  }
}

type LeftJob = Pick<Job, 'id' | 'dryRun' | 'acceptDifferences' | 'requestedBy' | 'byTool' | 'cancelledBy'>;

/** A row of its own, or one that nobody does and that asks for the very same. */
async function openJob(own: pg.Pool, options: ToolOptions): Promise<Job> {
  const { tool, dryRun, acceptDifferences = false } = options;
  for (;;) {
    const asked = [newId(), PROMPTS, tool, dryRun, acceptDifferences];
    const { rows: added } = await own.query<{ id: string }>(ADD, asked);
    if (added[0]) return (await beginJob(own, added[0].id)) as Job;
    const { rows } = await own.query<LeftJob>(LEFT, [PROMPTS]);
    const [left] = rows;
    if (!left) continue;
    const isOver = left.byTool || left.cancelledBy !== null;
    const isTheSame = isPlain(options) && left.dryRun === dryRun && left.acceptDifferences === acceptDifferences;
    if (!isOver && !isTheSame)
      throw new RebuildError(
        `Another rebuild, which ${left.requestedBy} asked for, has not ended: let a projector do it, or cancel it.`,
      );
    const job = await beginJob(own, left.id);
    if (!job) continue;
    const end = await endWithoutDoing(own, job);
    if (!end) return job;
    await endJob(own, job.id, end);
  }
}

/** What a projector would do, only faster. */
const isPlain = ({ until, prices, anew }: ToolOptions): boolean => until === undefined && prices === undefined && !anew;

/**
 * What has become of it. Its connections were cut, and the lock went with them; a projector that has it by now does the same.
 */
async function endCancelled(uri: string, id: string): Promise<string> {
  return whenFree(Infinity, { uri, max: 2 }, async (own) => {
    const job = await beginJob(own, id);
    const end = job && (await endWithoutDoing(own, job));
    if (end) await endJob(own, id, end);
    const { rows } = await own.query<{ outcome: string }>('SELECT outcome FROM rebuild WHERE id = $1', [id]);
    return rows[0]!.outcome;
  });
}

/** A projector that closes what has died holds the lock for a moment, and so does a server for whoever was cut off. */
export async function whenFree<T>(mostTries: number, ...pool: Parameters<typeof withRebuildPool<T>>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await withRebuildPool(...pool);
    } catch (error) {
      if (!(error instanceof RebuildBusyError) || tries >= mostTries) throw error;
    }
    await setTimeout(ASK_EVERY_MS);
  }
}
