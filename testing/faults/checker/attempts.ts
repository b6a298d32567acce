/** I4, I5: attempts, and the calls made for them. */
import { callsByAttempt, foldsOf, type Judge, say, streamsOf, TERMINAL, type Violation } from './streams.ts';

/** The call's time is cut to milliseconds; the commit's is whole, and both are of this machine's one clock. */
const CUT_BY_MS = 1;

/** Every call carries an attempt that was committed before, and no attempt is called twice. */
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
    // Virtual time has no commits: there an event is on record when it was recorded.
    const since = evidence.plan.kind === 'simulation' ? attempt.startedAt : attempt.committedAt;
    if (since === null)
      violations.push(told(promptId, `attempt ${number} was called, and nobody knows when it was committed`));
    else if (first + CUT_BY_MS <= since)
      violations.push(told(promptId, `attempt ${number} was called ${since - first} ms before it was committed`));
  }
  return violations;
};

/**
 * A failure counts from the open attempt alone; a new attempt only when none is open; an answer once. Leases, holds and
 * the times that a submission names are waited for.
 */
export const fencing: Judge = (evidence) => [...inTurn(evidence), ...inTime(evidence)];

const inTurn: Judge = (evidence) => {
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

/** Times of one transaction and of another by the same clock, that of the database, cut to milliseconds. */
const CUT_MS = 2;

const inTime: Judge = (evidence) => {
  const told = say('I5');
  const { leaseMs, callTimeoutMs } = evidence.limits;
  const violations: Violation[] = [];
  for (const [id, events] of streamsOf(evidence)) {
    const { retry, notBefore, expiresAt } = events[0]!.data;
    const startedAt = new Map<number | null | undefined, number>();
    // A call that nobody may repeat lightly is first left to come to its end.
    const held = leaseMs + (retry === 'cautious' || retry === 'never' ? callTimeoutMs : 0);
    for (const { type, data, position, recordedAt } of events) {
      const at = Date.parse(recordedAt);
      const wrong = (what: string, ms: number) => {
        if (ms > CUT_MS) violations.push(told(id, `${what} at ${position}, ${ms} ms too early`));
      };
      if (type === 'AttemptStarted') {
        startedAt.set(data.attempt, at);
        if (notBefore) wrong(`attempt ${data.attempt} began`, Date.parse(notBefore) - at);
        const late = at - Date.parse(expiresAt ?? '');
        if (late > CUT_MS) violations.push(told(id, `attempt ${data.attempt} began ${late} ms after the prompt’s end`));
      }
      if (data.code === 'lease_lost' && (data.end === 'lost' || type === 'AttemptDiscarded'))
        wrong(`attempt ${data.attempt} was given up`, (startedAt.get(data.attempt) ?? at) + held - at);
      if (type === 'PromptExpired') wrong('expired', expiresAt ? Date.parse(expiresAt) - at : Number.POSITIVE_INFINITY);
    }
  }
  return violations;
};
