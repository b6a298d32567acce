/**
 * I7: a prompt is called again only for a reason that is on record, and that happened to the attempt before; an outcome
 * that tells of a call was one.
 */
import type { Evidence, Impairment } from '../evidence.ts';
import { type AttemptFold, callsByAttempt, type Fold, foldsOf, type Judge, say, type Violation } from './streams.ts';

/** An append whose process has died may still commit for so long: `transaction_timeout` of the appends. */
const COMMIT_MS = 2_000;
/**
 * From the end of a lease to its being found: a sweep every half second that may meet a row that is locked, a heartbeat
 * tried again a third of a lease later. Both clocks are this machine's.
 */
const SWEEP_MS = 1_500;

/** The worker's name in the log ends with its process's id and some letters: `worker-<host>-<pid>-<hex>`. */
const pidOf = (worker: string): number | null => Number(/-(\d+)-[0-9a-f]+$/.exec(worker)?.[1]) || null;

/** Whether it was done to the process of this worker. */
function isOf({ processes }: Evidence, worker: string): (one: Impairment) => boolean {
  const pid = pidOf(worker);
  const instance = processes.find((one) => one.pid === pid)?.instance;
  return (one) =>
    one.instance === worker || (pid !== null && (one.pid === null ? one.instance === instance : one.pid === pid));
}

/** Measured, not made: the machine gave it too little time. */
export const SLOW: ReadonlySet<string> = new Set<Impairment['what']>(['stalled', 'late']);

export type Loss = { attempt: AttemptFold; fold: Fold; by: Impairment[] };

/** Attempts whose lease was lost, with whatever of that can have cost it; not those of others, and not of other times. */
export function lossesOf(evidence: Evidence): Loss[] {
  const { impairments, limits } = evidence;
  return [...foldsOf(evidence).values()].flatMap((fold) =>
    fold.attempts.flatMap((attempt): Loss[] => {
      const { worker, startedAt, lostAt } = attempt;
      if (lostAt === null) return [];
      const isItsOwn = isOf(evidence, worker);
      const concerns = (one: Impairment): boolean => one.instance === 'postgres' || isItsOwn(one);
      const since = Math.max(startedAt, lostAt - limits.leaseMs - SWEEP_MS);
      // A process that has ended renews nothing more, however late that is found. Whatever else it was, a lease that was
      // renewed after it has its full length again.
      const inTime = ({ what, at, until }: Impairment): boolean =>
        at <= lostAt && (what === 'ended' ? at >= startedAt - COMMIT_MS : until >= since);
      const all = impairments.filter((one) => concerns(one) && inTime(one));
      // Asked every third of a lease, it is lost when it goes without for two more: a moment's slowness is no reason.
      const slow = all.filter(({ what }) => SLOW.has(what));
      const enough = covered(slow, since, lostAt) >= limits.leaseMs / 3;
      return [{ attempt, fold, by: enough ? all : all.filter((one) => !slow.includes(one)) }];
    }),
  );
}

/** Milliseconds between the two that lie in any of these. */
export function covered(spans: Impairment[], from: number, to: number): number {
  let [sum, reached] = [0, from];
  for (const { at, until } of spans.toSorted((a, b) => a.at - b.at)) {
    const [begin, end] = [Math.max(at, reached), Math.min(until, to)];
    if (end > begin) [sum, reached] = [sum + end - begin, end];
  }
  return sum;
}

/** A prompt is called again only for a reason that is on record; `never` once per generation. */
export const duplicateBudget: Judge = (evidence) => {
  const told = say('I7');
  const violations: Violation[] = [];
  const calls = Map.groupBy(evidence.calls, ({ attemptId }) => attemptId?.split('/')[0] ?? '');
  for (const fold of foldsOf(evidence).values()) {
    const made = calls.get(fold.promptId) ?? [];
    if (made.length > fold.attempts.length) {
      violations.push(told(fold.promptId, `${made.length} calls for ${fold.attempts.length} attempts`));
    }
    if (fold.retry === 'never') {
      const byGeneration = Map.groupBy(
        made,
        ({ attemptId }) => fold.attempts[Number(attemptId?.split('/')[1]) - 1]?.generation ?? -1,
      );
      for (const [generation, those] of byGeneration) {
        if (those.length > 1)
          violations.push(told(fold.promptId, `never: ${those.length} calls in generation ${generation}`));
      }
    }
  }
  for (const { attempt, fold, by } of lossesOf(evidence)) {
    if (by.length > 0) continue;
    const { worker, startedAt, lostAt } = attempt;
    const message = `attempt ${attempt.attempt} of ${worker} was lost ${lostAt! - startedAt} ms after it began; nothing had happened to its worker, nor to Postgres`;
    violations.push(told(fold.promptId, message));
  }
  return [...violations, ...answersGivenUp(evidence), ...neverAsked(evidence)];
};

/** Said by a worker of a call that it cut itself, whatever the provider sent. */
const OWN_CUTS: ReadonlySet<string> = new Set(['cancelled', 'deadline', 'shutdown']);

/** The provider answered in full, and the attempt counts as failed: a prompt is asked again for nothing. */
function answersGivenUp(evidence: Evidence): Violation[] {
  const calls = callsByAttempt(evidence);
  const cuts = evidence.impairments.filter(({ instance }) => instance === 'provider');
  return [...foldsOf(evidence).values()].flatMap(({ promptId, attempts }) =>
    attempts.flatMap(({ attempt, end, code, startedAt, endedAt }) => {
      const call = calls.get(`${promptId}/${attempt}`)?.[0];
      if (call?.status !== 200 || call.fault !== null || !REASONED.has(end)) return [];
      const cut = cuts.some(({ at, until }) => at <= (endedAt ?? at) && until >= startedAt);
      if (end === 'unknown' && (cut || OWN_CUTS.has(code ?? ''))) return [];
      return [say('I7')(promptId, `attempt ${attempt} ended as ${end} (${code}), and the provider had answered it`)];
    }),
  );
}

/** It ended by a word about the provider, which was not asked; and nothing kept the request from it. */
function neverAsked(evidence: Evidence): Violation[] {
  const calls = callsByAttempt(evidence);
  return [...foldsOf(evidence).values()].flatMap(({ promptId, attempts }) =>
    attempts.flatMap(({ attempt, end, code, worker, startedAt, endedAt }) => {
      if (!ASKED.has(end) || calls.has(`${promptId}/${attempt}`) || OWN_CUTS.has(code ?? '')) return [];
      const isItsOwn = isOf(evidence, worker);
      const kept = evidence.impairments.some(
        (one) =>
          (one.instance === 'provider' || isItsOwn(one)) &&
          one.at <= (endedAt ?? one.at) &&
          one.until >= startedAt - SWEEP_MS,
      );
      return kept
        ? []
        : [say('I7')(promptId, `attempt ${attempt} ended as ${end} (${code}), and the provider was not asked`)];
    }),
  );
}
const ASKED: ReadonlySet<string> = new Set(['retry', 'parked', 'failed', 'unknown']);
const REASONED: ReadonlySet<string> = new Set(['retry', 'parked', 'failed', 'unknown', 'not_called']);
