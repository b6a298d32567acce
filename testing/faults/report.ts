/** A run in a page: what was done, what came of it, and each invariant's verdict. */
import { check, type InvariantId, invariants, witness } from './checker/check.ts';
import { lossesOf, SLOW } from './checker/duplicates.ts';
import { COMMANDS } from './checker/in-time.ts';
import { reached, reachedBy } from './checker/reached.ts';
import { type Fold, foldsOf, type Violation } from './checker/streams.ts';
import type { Evidence } from './evidence.ts';

const countBy = (items: string[]): [string, number][] =>
  [...Map.groupBy(items, (item) => item)]
    .map(([name, all]) => [name, all.length] as [string, number])
    .sort((a, b) => b[1] - a[1]);
const list = (counts: [string, number][]): string => counts.map(([name, count]) => `${name} ${count}`).join(', ');

export type Report = {
  text: string;
  violations: Violation[];
  /** What the run was to come by and did not: it proves less than it says. */
  missing: string[];
};

export function report(evidence: Evidence, command: string): Report {
  const { operations, calls, database, faults, samples } = evidence;
  const violations = check(evidence);
  const missing = reached(evidence);
  const asks = operations.filter(({ kind }) => kind === 'ask');
  const losses = lossesOf(evidence);
  const folds = [...foldsOf(evidence).values()];
  const attempts = folds.flatMap((fold) => fold.attempts.map((attempt) => ({ ...attempt, retry: fold.retry })));
  const again = folds.reduce((sum, fold) => sum + Math.max(0, fold.attempts.length - 1), 0);
  const money = database.totals.reduce(
    (sum, row) => ({
      confirmed: sum.confirmed + Number(row.confirmed),
      wasted: sum.wasted + Number(row.wasted),
      unknown: sum.unknown + Number(row.unknownBound),
    }),
    { confirmed: 0, wasted: 0, unknown: 0 },
  );
  const peak = samples.reduce((max, sample) => Math.max(max, sample.rssBytes), 0);
  const lines = [
    `${command} (seed ${evidence.seed})`,
    '',
    `asks: ${asks.length}; ${list(countBy(asks.map(({ outcome, status }) => `${outcome} ${status ?? 'no answer'}`)))}`,
    `other requests: ${list(countBy(operations.filter(({ kind }) => kind !== 'ask').map(({ kind, outcome, status }) => `${kind} ${outcome} ${status ?? 'no answer'}`)))}`,
    `prompts: ${folds.length}${perSecond(folds.length, evidence)}; ${list(countBy(folds.map(({ status }) => status)))}`,
    `events: ${database.log.length}; attempts: ${attempts.length}, of these first ones ${attempts.length - again}; ended as ${list(countBy(attempts.map(({ end }) => end)))}`,
    `leases lost: ${losses.length}, of these to nothing but a slow machine ${losses.filter(({ by }) => by.every(({ what }) => SLOW.has(what))).length}; calls the provider saw: ${calls.length}, billed ${calls.filter(({ billed }) => billed).length}`,
    duplicates(folds, evidence),
    `prompts with retry "never": ${folds.filter(({ retry }) => retry === 'never').length}`,
    `nano-USD: confirmed ${money.confirmed}, wasted ${money.wasted}, unknown at most ${money.unknown}`,
    `ledger: ${list(countBy((database.ledger?.entries ?? []).map(({ state }) => state)))}; slowest answer to a command ${slowestCommand(evidence)} ms`,
    `feed: ${evidence.feed.length} connections, ${evidence.feed.reduce((sum, { frames }) => sum + frames.length, 0)} frames`,
    `reached: ${list(Object.entries(reachedBy(evidence)))}`,
    `task entries at most ${evidence.redis.longestTasks} of ${evidence.limits.tasksLength}`,
    `faults: ${faults.length}; ${list(countBy(faults.map(({ kind }) => kind)))}`,
    `at rest ${evidence.cleanAt === null ? 'never' : `${evidence.cleanAt - evidence.quietAt} ms`} after the last fault and the last command; largest process ${Math.round(peak / 2 ** 20)} MiB; Postgres connections at most ${evidence.postgresConnections.most} (${evidence.postgresConnections.whose})`,
    '',
    ...(Object.keys(invariants) as InvariantId[]).map((id) => {
      const broken = violations.filter(({ invariant }) => invariant === id);
      return `${broken.length === 0 ? 'holds ' : 'BROKEN'} ${id} ${invariants[id].title}${broken.length > 0 ? `: ${broken.length}` : ''}`;
    }),
  ];
  for (const what of missing) lines.push(`MISSED ${what}`);
  for (const violation of firstOfEach(violations)) {
    lines.push('', `${violation.invariant}: ${violation.promptId ?? ''} ${violation.message}`);
    if (violation.promptId) lines.push(witness(evidence, violation.promptId));
  }
  return { text: lines.join('\n'), violations, missing };
}

const slowestCommand = ({ operations }: Evidence): number =>
  operations
    .filter(({ kind, status }) => COMMANDS.has(kind) && status !== null)
    .reduce((most, { invokedAt, completedAt }) => Math.max(most, completedAt - invokedAt), 0);

/** Calls made again because nobody knew what came of the one before: perhaps paid twice, and told. */
function duplicates(folds: Fold[], { impairments, calls }: Evidence): string {
  const called = new Set(calls.map(({ attemptId }) => attemptId));
  const again = folds.map(
    ({ promptId, attempts }) =>
      attempts.filter(
        ({ attempt, lostAt }) =>
          lostAt !== null && called.has(`${promptId}/${attempt}`) && called.has(`${promptId}/${attempt + 1}`),
      ).length,
  );
  const can = impairments.filter(({ instance }) => /^(worker|postgres)/.test(instance));
  return `called again after a lease was lost: ${again.reduce((sum, n) => sum + n, 0)} times, at most ${Math.max(0, ...again)} for one prompt; what can cost a lease: ${list(countBy(can.map(({ instance, what }) => `${instance.replace(/-\d+$/, '')} ${what}`)))}`;
}

/** Two of each kind tell enough. */
const firstOfEach = (violations: Violation[]): Violation[] =>
  [...Map.groupBy(violations, ({ invariant }) => invariant).values()].flatMap((all) => all.slice(0, 2));

/** Of a run by the clock: accepted a second, from its first moment to its last. */
const perSecond = (prompts: number, { plan }: Evidence): string =>
  plan.kind === 'chaos' ? ` (${(prompts / (plan.minutes * 60)).toFixed(1)}/s of ${plan.perSecond} that were due)` : '';
