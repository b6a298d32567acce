/** I4, I5, I6, I7: attempts, calls and what they cost. */
import type { Evidence, UserTotals } from '../evidence.ts';
import { type Fold, foldsOf, type Judge, say, streamsOf, TERMINAL, type Violation } from './streams.ts';

/** The database's milliseconds are cut, the provider's clock is this machine's: no more than this between them. */
const CLOCK_SLACK_MS = 50;

const callsByAttempt = ({ calls }: Evidence) => Map.groupBy(calls, ({ attemptId }) => attemptId ?? '');

/** Every call carries an attempt that was on record before, and no attempt is called twice. */
export const attemptBeforeCall: Judge = (evidence) => {
  const told = say('I4');
  const folds = foldsOf(evidence);
  const violations: Violation[] = [];
  for (const [attemptId, calls] of callsByAttempt(evidence)) {
    const [promptId = '', number] = attemptId.split('/');
    const attempt = folds.get(promptId)?.attempts.find((one) => one.attempt === Number(number));
    if (!attempt) {
      violations.push(
        told(promptId || null, `the provider was called for ${attemptId || 'no attempt'}, which is not on record`),
      );
      continue;
    }
    if (calls.length > 1) violations.push(told(promptId, `attempt ${number} was called ${calls.length} times`));
    const first = Math.min(...calls.map(({ at }) => at));
    if (first + CLOCK_SLACK_MS < attempt.startedAt) {
      violations.push(
        told(promptId, `attempt ${number} was called ${attempt.startedAt - first} ms before it was on record`),
      );
    }
  }
  return violations;
};

/** A failure counts from the open attempt alone; a new attempt only when none is open; an answer once. */
export const fencing: Judge = (evidence) => {
  const told = say('I5');
  const violations: Violation[] = [];
  for (const [id, events] of streamsOf(evidence)) {
    const tokens = new Set<string>();
    let [open, started] = [null as number | null, 0];
    let ended = false;
    for (const { type, data, position } of events) {
      const attempt = data.attempt ?? 0;
      if (type === 'AttemptStarted') {
        if (open !== null) violations.push(told(id, `attempt ${attempt} at ${position} while ${open} is open`));
        if (ended) violations.push(told(id, `attempt ${attempt} at ${position} of a prompt that had ended`));
        if (attempt !== started + 1) violations.push(told(id, `attempt ${attempt} at ${position} follows ${started}`));
        if (!data.token || tokens.has(data.token))
          violations.push(told(id, `attempt ${attempt} at ${position} has no token of its own`));
        tokens.add(data.token ?? '');
        [open, started] = [attempt, attempt];
      } else if (type === 'AttemptFailed') {
        if (open !== attempt)
          violations.push(told(id, `failure of attempt ${attempt} at ${position} while ${open ?? 'none'} is open`));
        open = null;
      } else if (type === 'PromptCompleted') {
        if (attempt < 1 || attempt > started)
          violations.push(told(id, `answered at ${position} by attempt ${attempt}, which never began`));
        if (ended) violations.push(told(id, `answered at ${position} after it had ended`));
        if (open === attempt) open = null;
      } else if (type === 'AttemptDiscarded' && open === attempt) open = null;
      if (TERMINAL.has(type)) ended = true;
      if (type === 'PromptRequeued') ended = false;
    }
    if (open !== null) violations.push(told(id, `attempt ${open} is not accounted for`));
  }
  return violations;
};

/** A cost is known once, is what the provider charges, and the sums of the read model are those of the log. */
export const costOnce: Judge = (evidence) => {
  const told = say('I6');
  const violations: Violation[] = [];
  const calls = callsByAttempt(evidence);
  const folds = foldsOf(evidence);
  for (const fold of folds.values()) {
    for (const { attempt, nanoUsd, boundNanoUsd, knownCosts, end } of fold.attempts) {
      const name = `attempt ${attempt} (${end})`;
      if (knownCosts > 1) violations.push(told(fold.promptId, `${name} has ${knownCosts} known costs`));
      const call = calls.get(`${fold.promptId}/${attempt}`)?.[0];
      const charged = call?.billed ? call.nanoUsd : 0;
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
  return violations;
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

/** A lease is lost to a fault, not by itself: this long after one its consequences may still be seen. */
const AFTERMATH_MS = 30_000;
const EXPLAINS_LOSS: ReadonlySet<string> = new Set(['worker', 'postgres', 'machine']);

/** A prompt is called again only for a reason that is on record; `never` once per generation. */
export const duplicateBudget: Judge = (evidence) => {
  const told = say('I7');
  const violations: Violation[] = [];
  const calls = Map.groupBy(evidence.calls, ({ attemptId }) => attemptId?.split('/')[0] ?? '');
  const hits = evidence.faults.filter((fault) => fault.hits.some((one) => EXPLAINS_LOSS.has(one)));
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
    const lost = fold.attempts.filter(({ lostAt }) => lostAt !== null);
    const [begin, end] = [fold.attempts[0]?.startedAt ?? 0, lost.at(-1)?.lostAt ?? 0];
    const explained = hits.filter(({ at, until }) => at - AFTERMATH_MS <= end && until + AFTERMATH_MS >= begin).length;
    if (lost.length > explained)
      violations.push(told(fold.promptId, `${lost.length} attempts lost, ${explained} faults to explain it`));
  }
  return violations;
};
