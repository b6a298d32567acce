/** I6: what attempts cost, by the log, the provider, the read model and the ledger. */
import type { UserTotals } from '../evidence.ts';
import { ledgerIsLog } from './ledger.ts';
import { callsByAttempt, chargeOf, type Fold, foldsOf, type Judge, say, type Violation } from './streams.ts';

/** Faults after which an answer is whole, and does not say, or not soundly, what it used. */
const UNTOLD: ReadonlySet<string> = new Set(['no-usage', 'negative-usage', 'huge-usage', 'shrinking-usage']);
/** Said of a call that was answered to its end, with what it used: of a late answer, and of those without an answer. */
const TOLD: ReadonlySet<string> = new Set(['late_answer', 'blocked', 'stopped', 'empty_answer', 'max_tokens']);

/** A cost is known once, is what the provider charges, and read model and ledger say of it what the log says. */
export const costOnce: Judge = (evidence) => {
  const told = say('I6');
  const violations: Violation[] = [];
  const calls = callsByAttempt(evidence);
  const folds = foldsOf(evidence);
  for (const fold of folds.values()) {
    for (const { attempt, nanoUsd, boundNanoUsd, knownCosts, end, code } of fold.attempts) {
      const name = `attempt ${attempt} (${end})`;
      if (knownCosts > 1) violations.push(told(fold.promptId, `${name} has ${knownCosts} known costs`));
      const call = calls.get(`${fold.promptId}/${attempt}`)?.[0];
      if (nanoUsd === null && boundNanoUsd === null)
        violations.push(told(fold.promptId, `${name} costs nobody knows what, and has no upper bound`));
      if (
        nanoUsd === null &&
        (end === 'answered' || TOLD.has(code ?? '')) &&
        call?.billed &&
        call.nanoUsd !== null &&
        !UNTOLD.has(call.fault ?? '')
      )
        violations.push(told(fold.promptId, `${name} is not priced, though the provider told what it used`));
      const charged = chargeOf(calls, fold.promptId, attempt);
      if (nanoUsd !== null && charged !== null && nanoUsd !== charged) {
        violations.push(told(fold.promptId, `${name} costs ${nanoUsd}, the provider charges ${charged}`));
      }
      if (nanoUsd === null && boundNanoUsd !== null && charged !== null && charged > boundNanoUsd) {
        violations.push(told(fold.promptId, `${name} is bounded by ${boundNanoUsd}, the provider charges ${charged}`));
      }
    }
  }
  const expected = totalsOf(folds.values());
  const found = new Map(evidence.database.totals.map((row) => [row.userId, row]));
  for (const userId of new Set([...expected.keys(), ...found.keys()])) {
    const [should, is] = [expected.get(userId), found.get(userId)];
    const differing = (['prompts', 'completed', 'failed', 'confirmed', 'wasted', 'unknownBound'] as const).filter(
      (name) => (should?.[name] ?? 0) !== Number(is?.[name] ?? 0),
    );
    for (const name of differing) {
      violations.push(
        told(null, `${name} of ${userId} is ${is?.[name] ?? 0} in the read model, ${should?.[name] ?? 0} by the log`),
      );
    }
  }
  return [...violations, ...ledgerIsLog(evidence)];
};

function totalsOf(folds: Iterable<Fold>): Map<string, UserTotals> {
  const totals = new Map<string, UserTotals>();
  for (const { userId, status, attempts } of folds) {
    const row = totals.get(userId) ?? {
      userId,
      prompts: 0,
      completed: 0,
      failed: 0,
      confirmed: 0,
      wasted: 0,
      unknownBound: 0,
    };
    totals.set(userId, row);
    row.prompts += 1;
    if (status === 'completed') row.completed += 1;
    if (status === 'failed') row.failed += 1;
    for (const { end, nanoUsd, boundNanoUsd } of attempts) {
      if (end === 'open') continue;
      if (nanoUsd === null) row.unknownBound += boundNanoUsd ?? 0;
      else if (end === 'answered') row.confirmed += nanoUsd;
      else row.wasted += nanoUsd;
    }
  }
  return totals;
}
