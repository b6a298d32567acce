/** I15: whoever asks, cancels or redrives is answered in time, also with a refusal; what nobody answers ends in time, too. */
import type { Impairment } from '../evidence.ts';
import { covered } from './duplicates.ts';
import { type Judge, say } from './streams.ts';

export const COMMANDS: ReadonlySet<string> = new Set(['ask', 'cancel', 'retry']);
/** A process that was stopped, or stood still, can answer nobody; whoever looks at the clock may have stood still as well. */
const STANDS: ReadonlySet<string> = new Set<Impairment['what']>(['stopped', 'stalled']);
/**
 * What a request keeps at the least after the look at its credential (100 ms), and what a process may stand still and
 * not tell of, a little at a time.
 */
const MARGIN_MS = 600;
/** Of a request without an answer nobody knows when it came to the API; one that hangs is given up only long after this. */
const UNANSWERED = 3;

export const inTime: Judge = ({ operations, impairments, limits }) => {
  const stands = impairments.filter(({ what }) => STANDS.has(what));
  return operations.flatMap(({ kind, api, status, promptId, code, invokedAt, completedAt }) => {
    const most = limits.answerWithinMs * (status === null ? UNANSWERED : 1) + MARGIN_MS;
    if (!COMMANDS.has(kind) || completedAt - invokedAt <= most) return [];
    const its = stands.filter(({ instance }) => instance === api || instance === 'harness');
    const ms = completedAt - invokedAt - covered(its, invokedAt, completedAt);
    return ms > most
      ? [say('I15')(promptId, `${kind} was answered ${status ?? 'nothing'} ${code ?? ''} after ${ms} ms by ${api}`)]
      : [];
  });
};
