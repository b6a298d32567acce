/** Redrive in bulk: what the read model shows as failed, each decided on its own stream like a single redrive. */
import type pg from 'pg';
import type { BulkRetryAccepted } from '../contracts/http/commands.ts';
import { within } from '../platform/within.ts';
import { type ChangeContext, type ChangePrompt, refusalCode } from './change-prompt.ts';
import { type FailedFilter, findFailed } from './failed-prompts.ts';

export type RedriveRequest = {
  filter: FailedFilter;
  reason: string;
  limit: number;
  /** Only tells what would be done. */
  dryRun: boolean;
};

export type Redrive = (by: Omit<ChangeContext, 'promptId'>, request: RedriveRequest) => Promise<BulkRetryAccepted>;

export type RedriveOptions = {
  pool: pg.Pool;
  retry: ChangePrompt['retry'];
  now: () => Date;
  /** Some of them wait in the outbox. */
  onRequeued: () => void;
};

/** Decided at once: as many as the appender puts into one call. */
const BATCH = 100;

/** Rejects like a single redrive when the log does not take one; those requeued before and beside it stay requeued. */
export function createRedrive({ pool, retry, now, onRequeued }: RedriveOptions): Redrive {
  return async (by, { filter, reason, limit, dryRun }) => {
    const { open, expired, more } = await within(by.withinMs, findFailed(pool, filter, limit, now()));
    const ids = [...open, ...expired];
    const answer: BulkRetryAccepted = { matched: ids.length, requeued: 0, skipped: [], more };
    if (dryRun) return { ...answer, skipped: expired.map((id) => ({ id, code: 'expired' })) };

    for (let at = 0; at < ids.length; at += BATCH) {
      const batch = ids.slice(at, at + BATCH);
      const settled = await Promise.allSettled(batch.map((promptId) => retry({ ...by, promptId }, reason)));
      const before = answer.requeued;
      settled.forEach((one, i) => {
        if (one.status === 'rejected') return;
        if (one.value.status === 'done') answer.requeued += 1;
        else {
          const code = refusalCode(one.value);
          // What may be sent again never leaves the log.
          answer.skipped.push({ id: batch[i]!, code: code === 'archived' ? 'wrong_state' : code });
        }
      });
      if (answer.requeued > before) onRequeued();
      const failed = settled.find((one) => one.status === 'rejected');
      if (failed) throw failed.reason;
    }
    return answer;
  };
}
