/**
 * Builds a new version of the read models beside the one that is served: a bulk phase in lanes up to where the log ended,
 * then as the projector does it, then a comparison at one position, then the switch. Readers notice nothing. What a crash
 * leaves is taken up again by the next rebuild of the same kind. What could be served before stays until another is served.
 */
import { availableParallelism } from 'node:os';
import type pg from 'pg';
import { type LogArchive, openArchive } from '../../platform/archive/open-archive.ts';
import { failPoint } from '../../platform/fail-points.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { type LogBounds, readBounds, readHead } from '../../platform/postgres/read.ts';
import { PoisonEventError } from '../poison-event.ts';
import { projectBatch } from '../project-batch.ts';
import { createProjectionStore, PROMPTS } from '../projection-store.ts';
import type { Reading } from '../projections/prompts/fold-batch.ts';
import { type Comparison, compareVersions } from './compare.ts';
import { createLaneStore } from './lane-store.ts';
import { foldInLanes } from './lanes.ts';
import { createMeter } from './meter.ts';
import { createPace, readLiveLag } from './pace.ts';
import { RebuildBusyError, RebuildError } from './refused.ts';
import { type Begun, beginOrTakeUp, refuseUntil } from './take-up.ts';
import { dropSuperseded, dropVersion, endBulkPhase, listVersions, serveVersion } from './versions.ts';

export { RebuildBusyError, RebuildError } from './refused.ts';

/** Of a rebuild, for a database: an advisory lock. */
const LOCK = 7303;
/** Indexes of tens of millions of rows take their time. */
const STATEMENT_MS = 6 * 3_600_000;

export type Progress = {
  phase: 'folding' | 'indexing' | 'catching_up' | 'comparing';
  version: number;
  /**
   * Of the phase: events of the log that it has passed, of those up to `target`. Where tables are indexed and compared, as many
   * as the share of that work comes to which is done.
   */
  position: number;
  target: number;
  /** Of this process, since it began this phase; 0 when it cannot be told yet. */
  eventsPerSecond: number;
  resumed: boolean;
};

export type RebuildOptions = {
  /** Fold only up to here: the version is kept apart and never served. */
  until?: { position: number } | { time: string };
  /** Other prices than those charged: a name for them, and how a prompt is read at them. Kept apart as well. */
  prices?: { name: string; read: Reading };
  /** Compare and report, then drop the new version. */
  dryRun: boolean;
  /** Serve the new version even if it is not equal to the one before, as after a change of what it holds. */
  acceptDifferences?: boolean;
  /** How many at a time, in the bulk phase. */
  lanes?: number;
  /** Folder of the archive, where the beginning of the log has left it. */
  archiveDir?: string | undefined;
  /** Do not take up what an earlier rebuild left. */
  anew?: boolean;
  /** Folded in one go; by default as many as are fastest, where nothing else runs in this process. */
  batchSize?: number;
  onProgress: (progress: Progress) => void;
  logger?: { warn: (o: object, m: string) => void } | undefined;
  /** Breaks off at once; the next rebuild goes on from the last page. */
  signal?: AbortSignal;
};

export type Rebuilt = {
  version: number;
  /** Served before; it is kept up to date until it is dropped, or the next version but one is served. */
  former: number;
  position: number;
  outcome: 'switched' | 'kept' | 'dropped';
  /** Null: there is nothing that it should be equal to. */
  equal: boolean | null;
  differing: string[];
};

export async function rebuild({ uri, ...options }: RebuildOptions & { uri: string }): Promise<Rebuilt> {
  const lanes = lanesOf(options);
  return withRebuildPool({ uri, max: connectionsFor(lanes), signal: options.signal }, (pool, signal) =>
    rebuildIn(pool, { ...options, signal }),
  );
}

/** As many as the machine has cores for, unless it is said. */
export function lanesOf({ lanes = Math.min(4, availableParallelism()) }: Pick<RebuildOptions, 'lanes'>): number {
  if (!Number.isInteger(lanes) || lanes < 1 || lanes > 32) throw new RebuildError('Lanes: from 1 to 32.');
  return lanes;
}

/** With a pool of `withRebuildPool`, for one who holds the lock. */
export async function rebuildIn(pool: pg.Pool, options: RebuildOptions): Promise<Rebuilt> {
  const live = (await listVersions(pool)).find(({ isLive }) => isLive);
  if (!live) throw new RebuildError(`No version of ${PROMPTS} is served: run "npm run migrate" first.`);
  const archive = await archiveOf(pool, options);
  let version: Begun;
  try {
    version = await beginOrTakeUp(pool, live.version, { ...options, lanes: lanesOf(options) }, archive);
    if (version.status === 'building')
      await unlessPoisoned(pool, version, () => bulkPhase(pool, version, options, archive));
  } finally {
    await archive?.close();
  }
  await failPoint('rebuild.folded');
  if (version.frozen) return keepApart(pool, live.version, version, options);
  return unlessPoisoned(pool, version, () => compareAndServe(pool, live.version, version, options));
}

/**
 * Folded again it comes to the same event, until a release can fold that; and what one release has folded by halves is not
 * another's to finish. So nothing is left of it that takes up disk and holds up an archive.
 */
async function unlessPoisoned<T>(pool: pg.Pool, { version }: Begun, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PoisonEventError)) throw error;
    await dropVersion(pool, version);
    throw new RebuildError(
      `${error.message}. Version ${version}, which was being built, is dropped; all others are as they were. With a release that can fold this event: npm run replay`,
      { cause: error },
    );
  }
}

async function keepApart(
  pool: pg.Pool,
  live: number,
  { version, target }: Begun,
  { dryRun }: RebuildOptions,
): Promise<Rebuilt> {
  if (dryRun) await dropVersion(pool, version);
  const outcome = dryRun ? 'dropped' : 'kept';
  return { version, former: live, position: target ?? 0, outcome, equal: null, differing: [] };
}

/** Null: the log is whole. Nothing is archived while this rebuild holds the lock. */
export async function archiveOf(
  pool: pg.Pool,
  { archiveDir }: Pick<RebuildOptions, 'archiveDir'>,
): Promise<LogArchive | null> {
  const bounds = await readBounds(pool);
  const dir = folderOf(bounds, archiveDir);
  return dir === null ? null : openArchive(dir, bounds);
}

function folderOf({ floor }: Pick<LogBounds, 'floor'>, archiveDir: string | undefined): string | null {
  if (floor === 0) return null;
  if (archiveDir === undefined)
    throw new RebuildError(
      `Events up to position ${floor} are archived: say where, with --archive DIR or ARCHIVE_DIR.`,
    );
  return archiveDir;
}

/** Throws `RebuildError` for what can be told to be wrong with a rebuild before anything is begun. */
export async function refuseRebuild(
  pool: pg.Pool,
  { until, archiveDir }: Pick<RebuildOptions, 'until' | 'archiveDir'>,
): Promise<void> {
  const bounds = await readBounds(pool);
  folderOf(bounds, archiveDir);
  if (until) refuseUntil(until, bounds.head);
}

/** For the lock, to tell how far it is, to look how far others are, and to read ahead; the end of a bulk phase takes four. */
export const connectionsFor = (lanes: number): number => Math.max(lanes, 4) + 4;

/** Another rebuild may have begun by now. */
class LockLostError extends Error {
  readonly code = 'rebuild_lock_lost';
  constructor() {
    super('The connection that held the lock of rebuilds was lost. What was under way may be done or not: look first.');
  }
}

type PoolOptions = { uri: string; max: number; signal?: AbortSignal | undefined };

/**
 * The one rebuild of a database at a time; throws `RebuildBusyError` when there is another. The signal given to `work`
 * aborts with `signal`, and when the lock is lost with its connection: then another one may begin. All connections end
 * with it, and what the server still does for them within a second.
 */
export async function withRebuildPool<T>(
  { uri, max, signal }: PoolOptions,
  work: (pool: pg.Pool, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const pool = createPool({
    uri,
    name: 'rebuild',
    max,
    statementTimeoutMs: STATEMENT_MS,
    transactionTimeoutMs: STATEMENT_MS,
    clientCheckMs: 1_000,
    // Nobody waits for an answer: a busy server delays a rebuild, and does not end it.
    connectTimeoutMs: 60_000,
    onError: () => {}, // of idle connections; a statement that needs one rejects by itself
  });
  const lost = new AbortController();
  const ended = signal ? AbortSignal.any([signal, lost.signal]) : lost.signal;
  const clients = new Set<pg.PoolClient>();
  // Whoever waits on it is told by its own statement; a goodbye that fails tells nothing more.
  const cut = (client: pg.PoolClient & { end?: () => Promise<void> }) => void client.end?.().catch(() => {});
  pool.on('connect', (client) => {
    clients.add(client);
    if (ended.aborted) cut(client);
  });
  pool.on('remove', (client) => clients.delete(client));
  ended.addEventListener('abort', () => clients.forEach(cut));
  try {
    ended.throwIfAborted();
    const lock = await pool.connect();
    lock.once('end', () => lost.abort(new LockLostError()));
    try {
      const { rows } = await lock.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1) AS locked', [LOCK]);
      if (!rows[0]?.locked) throw new RebuildBusyError();
      try {
        return await work(pool, ended);
      } finally {
        // Or else the next one waits until the server has noticed that the connection is gone.
        const unlocking = ended.aborted ? null : lock.query('SELECT pg_advisory_unlock($1)', [LOCK]);
        await unlocking?.catch(() => {}); // without its connection the lock is free as well
      }
    } finally {
      lock.release(true);
    }
  } catch (error) {
    ended.throwIfAborted(); // what a cut connection says tells nothing
    throw error;
  } finally {
    await pool.end();
  }
}

async function bulkPhase(
  pool: pg.Pool,
  version: Begun,
  options: RebuildOptions,
  archive: LogArchive | null,
): Promise<void> {
  const target = version.target!;
  const pace = paceOf(pool);
  const folding = meterOf(options, version, 'folding');
  folding(version.position, target, 0);
  await foldInLanes({
    store: createLaneStore(pool, version.version, archive),
    target,
    reading: options.prices?.read,
    mostEvents: options.batchSize,
    onPage: ({ position, events }) => folding(position, target, events),
    turn: pace.turn,
    signal: options.signal,
  });
  const indexing = meterOf(options, version, 'indexing');
  indexing(0, target);
  const onShare = (share: number) => indexing(Math.floor(share * target), target);
  await endBulkPhase(
    pool,
    { version: version.version, target },
    {
      isLive: await pace.isLive(),
      onShare,
      logger: options.logger,
    },
  );
}

const paceOf = (pool: pg.Pool) => createPace(() => readLiveLag(pool));

const meterOf = ({ onProgress }: RebuildOptions, { version, resumed }: Begun, phase: Progress['phase']) =>
  createMeter(onProgress, { phase, version, resumed });

async function compareAndServe(pool: pg.Pool, live: number, begun: Begun, options: RebuildOptions): Promise<Rebuilt> {
  const { version } = begun;
  const target = await catchUp(pool, begun, options);
  const comparing = meterOf(options, begun, 'comparing');
  comparing(0, target);
  const compared = await compareVersions(pool, live, version, {
    batchSize: options.batchSize,
    isLive: paceOf(pool).isLive,
    onShare: (share, position) => comparing(Math.floor(share * position), position),
  });
  const equal = compared.differing.length === 0;
  await failPoint('rebuild.compared');
  const serve = !options.dryRun && (equal || options.acceptDifferences === true);
  if (!serve) {
    await dropVersion(pool, version);
    return told(live, version, compared, 'dropped');
  }
  // Between the comparison and here the served one may have got a batch further.
  const verdict = equal ? 'equal' : 'different';
  while (!(await serveVersion(pool, version, verdict))) await catchUp(pool, begun, options);
  await failPoint('rebuild.switched');
  await dropSuperseded(pool, live);
  return told(live, version, compared, 'switched');
}

const told = (
  former: number,
  version: number,
  { position, differing }: Comparison,
  outcome: Rebuilt['outcome'],
): Rebuilt => ({
  version,
  former,
  position,
  outcome,
  equal: differing.length === 0,
  differing,
});

/** As the projector would, which may be doing it too: both move the cursor by compare-and-set. */
async function catchUp(pool: pg.Pool, begun: Begun, options: RebuildOptions): Promise<number> {
  const store = createProjectionStore(pool, begun.version);
  const tell = meterOf(options, begun, 'catching_up');
  let events = 0;
  for (;;) {
    options.signal?.throwIfAborted();
    const target = await readHead(pool);
    const step = await projectBatch({ store, batchSize: options.batchSize ?? 2_000, onPoison: 'stop' });
    events += step.events;
    tell(step.position, target, events);
    if (step.status === 'idle' || step.position >= target) return step.position;
  }
}
