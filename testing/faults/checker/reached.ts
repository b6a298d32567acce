/** A run in which nothing happened breaks nothing: what a run must have come by before its verdict means anything. */
import { CALM_SECONDS, type Evidence } from '../evidence.ts';
import { lossesOf } from './duplicates.ts';
import { asksOf } from './streams.ts';

export const reachable = [
  'accepted',
  'completed',
  'faults',
  'reads',
  'leases lost after a call',
  'late answers adopted',
  'replies of Postgres lost',
  'resyncs of the relay',
  'answers spooled',
] as const;
export type Reachable = (typeof reachable)[number];

export function reachedBy(evidence: Evidence): Record<Reachable, number> {
  const { calls, database, faults, operations, seen } = evidence;
  const called = new Set(calls.map(({ attemptId }) => attemptId));
  const lost = lossesOf(evidence).map(({ fold, attempt }) => `${fold.promptId}/${attempt.attempt}`);
  const answered = database.log
    .filter(({ type }) => type === 'PromptCompleted')
    .map(({ streamId, data }) => `${streamId}/${data.attempt}`);
  const losses = new Set(lost);
  return {
    accepted: new Set(
      asksOf(evidence).flatMap(({ outcome, promptId }) => (outcome === 'ok' && promptId ? [promptId] : [])),
    ).size,
    completed: answered.length,
    faults: faults.length,
    reads: operations.filter(({ minPosition, outcome }) => minPosition !== null && outcome === 'ok').length,
    'leases lost after a call': lost.filter((attemptId) => called.has(attemptId)).length,
    'late answers adopted': answered.filter((attemptId) => losses.has(attemptId)).length,
    'replies of Postgres lost': seen.repliesLost,
    'resyncs of the relay': seen.resyncs,
    'answers spooled': seen.spooled,
  };
}

/** Of each mix, once in so many minutes of the usual pace at the least: well below what runs on a slow machine had. */
const MINUTES_TO: Partial<Record<Reachable, { minutes: number; mixes: readonly string[] }>> = {
  'leases lost after a call': { minutes: 0.5, mixes: ['process', 'machine'] },
  'late answers adopted': { minutes: 2, mixes: ['process'] },
  'replies of Postgres lost': { minutes: 1, mixes: ['postgres'] },
  'resyncs of the relay': { minutes: 1, mixes: ['redis', 'process', 'machine'] },
  'answers spooled': { minutes: 1, mixes: ['postgres', 'machine'] },
};
/** A matrix of so many cases is all of it, and passes everywhere. A share of it need not: shares are judged together. */
const WHOLE_MATRIX = 100;

/** A fault itself takes some two seconds; the pause before it is drawn evenly. */
const secondsOfAFault = (calmSeconds: number): number => 2 + (0.3 + calmSeconds) / 2;

export function floorsOf({ plan }: Pick<Evidence, 'plan'>): Partial<Record<Reachable, number>> {
  if (plan.kind === 'simulation') return {}; // it counts for itself
  if (plan.kind === 'matrix') {
    if (plan.cases < WHOLE_MATRIX) return { accepted: plan.cases > 0 ? 1 : 0 };
    const once = Object.fromEntries(Object.keys(MINUTES_TO).map((name) => [name, 1]));
    return { ...once, accepted: 5 * plan.cases, completed: 3 * plan.cases, faults: plan.cases / 2 };
  }
  const { minutes, perSecond, calmSeconds, mixes } = plan;
  const atUsualPace = (minutes * secondsOfAFault(CALM_SECONDS)) / secondsOfAFault(calmSeconds);
  const asked = minutes * 60 * perSecond;
  const due = Object.entries(MINUTES_TO).filter(
    ([, { mixes: its }]) => mixes.length === 0 || mixes.some((one) => its.includes(one)),
  );
  return {
    // Some of the time something is broken, and clients that wait for an answer ask for nothing else.
    accepted: Math.floor(asked / 2),
    completed: Math.floor(asked / 3),
    faults: Math.floor(minutes * 5),
    reads: Math.floor(asked / 40),
    ...Object.fromEntries(due.map(([name, { minutes: each }]) => [name, Math.floor(atUsualPace / each)])),
  };
}

/** What was not reached, in words; empty: the run has tested what it was to test. */
export const reached = (evidence: Evidence): string[] => missedOf(reachedBy(evidence), evidence);

export function missedOf(is: Record<Reachable, number>, run: Pick<Evidence, 'plan'>): string[] {
  const floors = floorsOf(run);
  return reachable.flatMap((name) => {
    const floor = floors[name] ?? 0;
    return is[name] < floor ? [`${name}: ${is[name]}, at least ${floor} were due`] : [];
  });
}
