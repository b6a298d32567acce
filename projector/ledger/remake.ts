/**
 * The ledger made anew from the log, beside the one that is served; compared with it at one position; and what differs put
 * right in one transaction. Readers have the one or the other. What a crash leaves is never served: the next one takes it up.
 */
import type pg from 'pg';
import type { LogArchive } from '../../platform/archive/open-archive.ts';
import { failPoint } from '../../platform/fail-points.ts';
import { mayArchive } from '../../platform/postgres/as-login.ts';
import { inTransaction } from '../../platform/postgres/transaction.ts';
import { createMeter, type Metered } from '../rebuild/meter.ts';
import { createPace, readLiveLag } from '../rebuild/pace.ts';
import { archiveOf } from '../rebuild/rebuild.ts';
import { RebuildError } from '../rebuild/refused.ts';
import { auditLedger } from './audit.ts';
import { beginNext, compareNext, dropNext, type LedgerComparison, postNext, readServed } from './next.ts';

/** Posted in one statement. */
const EVENTS_AT_ONCE = 5_000;

type Phase = { phase: 'posting' | 'comparing'; resumed: boolean };
/** `position`: events of the log that are posted, of those up to `target`; or as many as the share comes to which is compared. */
export type RemakeProgress = Phase & Metered;

export type RemakeOptions = {
  /** Compare and report, then drop what was made. */
  dryRun: boolean;
  /** Folder of the archive, where the beginning of the log has left it. */
  archiveDir?: string | undefined;
  /** Do not take up what an earlier one left. */
  anew?: boolean;
  eventsAtOnce?: number;
  onProgress: (progress: RemakeProgress) => void;
  /** Breaks off; the next one goes on from the last page. */
  signal?: AbortSignal;
};

export type Remade = LedgerComparison & {
  /** equal: nothing was to be done. */
  outcome: 'equal' | 'served' | 'dropped';
};

/** With a pool of `withRebuildPool`, for one who holds the lock. Throws `RebuildError` when it cannot be done. */
export async function remakeLedger(pool: pg.Pool, options: RemakeOptions): Promise<Remade> {
  const archive = await archiveOf(pool, options);
  try {
    if (archive && !(await mayArchive(pool)))
      throw new RebuildError('This login may not post what is archived: use the one that migrates.');
    const from = await beginNext(pool, options.anew === true);
    await catchUp(pool, archive, from, options);
  } finally {
    await archive?.close();
  }
  const comparing = createMeter<Phase>(options.onProgress, { phase: 'comparing', resumed: false });
  const compared = await compareNext(pool, (share, position) => comparing(Math.floor(share * position), position));
  await failPoint('rebuild.ledger_compared');
  const isEqual = compared.entries === 0 && compared.accounts === 0;
  if (!isEqual && !options.dryRun) {
    await serveNext(pool);
    await failPoint('rebuild.ledger_served');
  }
  await dropNext(pool);
  return { ...compared, outcome: isEqual ? 'equal' : options.dryRun ? 'dropped' : 'served' };
}

/** How many sums of the served read models differ from the ledger that is served now. */
export async function sumsDiffering(pool: pg.Pool, signal?: AbortSignal): Promise<number> {
  for (;;) {
    const audit = await auditLedger(pool, { ...(signal && { signal }) });
    if (audit) return audit.sums;
  }
}

/**
 * Up to where the served one stands, which goes on meanwhile: what is left then is posted in one go with the comparison. While
 * prompts come in, behind the projector.
 */
async function catchUp(pool: pg.Pool, archive: LogArchive | null, from: number, options: RemakeOptions): Promise<void> {
  const { signal, eventsAtOnce = EVENTS_AT_ONCE } = options;
  const pace = createPace(() => readLiveLag(pool));
  const posting = createMeter<Phase>(options.onProgress, { phase: 'posting', resumed: from > 0 });
  let at = from;
  let target = await readServed(pool);
  posting(at, target, 0);
  do {
    while (at < target) {
      signal?.throwIfAborted();
      const most = Math.min(eventsAtOnce, (await pace.turn()).mostEvents);
      at = await postNext(pool, archive, at, Math.min(target, at + most));
      posting(at, target, at - from);
      await failPoint('rebuild.ledger_page_posted');
    }
    target = await readServed(pool);
  } while (target - at > eventsAtOnce);
}

const serveNext = (pool: pg.Pool): Promise<void> =>
  inTransaction(pool, async (client) => {
    await client.query('SELECT serve_ledger_next_v1()');
    await failPoint('rebuild.ledger_written');
  });
