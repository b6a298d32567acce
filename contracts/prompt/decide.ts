/**
 * What may happen next to a prompt. Each decision is a plain function of the folded stream; the caller appends
 * the events at `state.version`, so a decision made on an outdated state is refused by the log and made anew.
 *
 * `key` names an event within its prompt; the log's event id is derived from both. Repeating a decision after a
 * lost reply is therefore a duplicate, not a second event, and a generation can have only one terminal event.
 */
import type { Usage } from '../usage.ts';
import type { AttemptEnd, PromptEvent } from './events.ts';
import type { RetryBudget } from './retry.ts';
import { afterFailure } from './retry.ts';
import { isTerminal, openAttempt, type PromptState } from './state.ts';

/** What becomes of the prompt's row in the outbox, in the same transaction as the events. */
export type OutboxChange =
  | { op: 'claim'; attempt: number }
  /** Due again after this many seconds of the database's clock. */
  | { op: 'reschedule'; afterSeconds: number }
  /** Terminal, but an attempt is not accounted for: the row stays until it is. */
  | { op: 'close' }
  | { op: 'drop' }
  | { op: 'reopen' };

export type NewEvent = PromptEvent & { key: string };
export type Decision = { events: NewEvent[]; outbox: OutboxChange | null };
export type Refusal = { refused: 'terminal' | 'running' | 'not_failed' | 'expired' | 'unknown_attempt' | 'recorded' };

export const isRefusal = (decision: Decision | Refusal): decision is Refusal => 'refused' in decision;

const subject = (state: PromptState) => ({
  userId: state.userId,
  model: state.model,
  submittedAt: state.submittedAt,
});
const terminalKey = (state: PromptState) => `terminal/${state.generation}`;

/** A worker claims the next attempt; `token` is made by the worker and is the event's id. */
export function startAttempt(state: PromptState, claim: { token: string; worker: string }): Decision | Refusal {
  if (isTerminal(state.status)) return { refused: 'terminal' };
  if (openAttempt(state)) return { refused: 'running' };
  const attempt = state.attempts.length + 1;
  return {
    events: [
      {
        key: claim.token,
        type: 'AttemptStarted',
        data: {
          ...subject(state),
          attempt,
          token: claim.token,
          generation: state.generation,
          worker: claim.worker,
          boundNanoUsd: state.boundNanoUsd,
          priceVersion: state.priceVersion,
        },
      },
    ],
    outbox: { op: 'claim', attempt },
  };
}

/** What an attempt is charged with; `nanoUsd` null means unknown, at most `boundNanoUsd`. */
export type Charge = {
  usage: Usage | null;
  rawUsage: unknown;
  nanoUsd: number | null;
  boundNanoUsd: number | null;
  priceVersion: string | null;
  emulated: boolean;
};

export type AttemptResult = { attempt: number; token: string; charge: Charge } & (
  | {
      end: 'completed';
      answer: string;
      encoding: 'plain' | 'json';
      finishReason: string;
      truncated: boolean;
      modelVersion: string | null;
    }
  | { end: AttemptEnd; code: string; message: string; afterSeconds?: number }
);

/**
 * A worker (or, for `lost`, the sweeper) says how an attempt ended. A success of any attempt completes an open
 * prompt: a paid answer is never thrown away. A failure counts only from the attempt that is still open; later
 * ones bring nothing but their cost, and a cost that was recorded as unknown becomes known, once.
 */
export function settleAttempt(state: PromptState, result: AttemptResult, budget: RetryBudget): Decision | Refusal {
  const attempt = state.attempts.find((one) => one.attempt === result.attempt && one.token === result.token);
  if (!attempt) return { refused: 'unknown_attempt' };
  const first = attempt.end === 'open' || (attempt.end === 'lost' && result.end !== 'lost');
  // Given up while its prompt was closing, it stands there with a bound; its worker's own word is still worth the cost.
  const wasCalled = attempt.end !== 'answered' && attempt.end !== 'not_called' && attempt.end !== 'parked';
  const isNews = attempt.nanoUsd === null && result.charge.nanoUsd !== null && result.end !== 'lost';
  const reveals = !first && wasCalled && isNews;
  if (!first && !reveals) return { refused: 'recorded' };

  const base = { ...subject(state), attempt: result.attempt, token: result.token, ...result.charge };
  const othersOpen = state.attempts.some((one) => one.end === 'open' && one !== attempt);
  const afterwards: OutboxChange = othersOpen ? { op: 'close' } : { op: 'drop' };
  // A key of its own: the word that left the cost unknown may stand under the attempt's outcome.
  const lateKey = reveals ? `cost/${result.attempt}` : `outcome/${result.attempt}`;

  if (isTerminal(state.status)) {
    const code = result.end === 'completed' ? 'late_answer' : result.code;
    const key = result.end === 'lost' ? `lost/${result.attempt}` : lateKey;
    // A row is left only while an attempt is open; a late word about one already given up finds none.
    const outbox = attempt.end === 'open' ? afterwards : null;
    return { events: [{ key, type: 'AttemptDiscarded', data: { ...base, code } }], outbox };
  }
  if (result.end === 'completed') {
    const { answer, encoding, finishReason, truncated, modelVersion } = result;
    const data = { ...base, answer, encoding, finishReason, truncated, modelVersion };
    return { events: [{ key: terminalKey(state), type: 'PromptCompleted', data }], outbox: afterwards };
  }
  if (attempt.end !== 'open') {
    return { events: [{ key: lateKey, type: 'AttemptDiscarded', data: { ...base, code: result.code } }], outbox: null };
  }

  const next = afterFailure(state, result, budget);
  const { code, message } = result;
  const failed: NewEvent = {
    key: result.end === 'lost' ? `lost/${result.attempt}` : `outcome/${result.attempt}`,
    type: 'AttemptFailed',
    data: {
      ...base,
      end: result.end,
      code,
      message,
      retryInSeconds: 'retryInSeconds' in next ? next.retryInSeconds : null,
    },
  };
  if ('retryInSeconds' in next) {
    return { events: [failed], outbox: { op: 'reschedule', afterSeconds: next.retryInSeconds } };
  }
  const ended: NewEvent = {
    key: terminalKey(state),
    type: 'PromptFailed',
    data: { ...subject(state), attempt: result.attempt, code: next.code, message: next.message },
  };
  return { events: [failed, ended], outbox: { op: 'drop' } };
}

/** An attempt that has ended cost something else than is on record, or what nobody knew. */
export function correctCost(
  state: PromptState,
  correction: { attempt: number; nanoUsd: number; reason: string; by: string },
): Decision | Refusal {
  const attempt = state.attempts.find((one) => one.attempt === correction.attempt);
  if (!attempt) return { refused: 'unknown_attempt' };
  if (attempt.end === 'open') return { refused: 'running' };
  if (attempt.nanoUsd === correction.nanoUsd) return { refused: 'recorded' };
  const data = { ...subject(state), ...correction, token: attempt.token };
  return { events: [{ key: `correction/${state.version}`, type: 'AttemptCostCorrected', data }], outbox: null };
}

/** The user no longer wants it. A running attempt is told to stop; its cost is recorded when it has. */
export function cancel(state: PromptState, by: string): Decision | Refusal {
  if (isTerminal(state.status)) return { refused: 'terminal' };
  return {
    events: [{ key: terminalKey(state), type: 'PromptCancelled', data: { ...subject(state), by } }],
    outbox: openAttempt(state) ? { op: 'close' } : { op: 'drop' },
  };
}

/** Its time is over before an attempt began; a live attempt is never cut. */
export function expire(state: PromptState): Decision | Refusal {
  if (isTerminal(state.status)) return { refused: 'terminal' };
  if (openAttempt(state)) return { refused: 'running' };
  return {
    events: [{ key: terminalKey(state), type: 'PromptExpired', data: subject(state) }],
    outbox: { op: 'drop' },
  };
}

/** Redrive of a failed prompt: a new generation with a full retry budget. `now` is RFC 3339. */
export function requeue(state: PromptState, by: string, reason: string | null, now: string): Decision | Refusal {
  if (state.status !== 'failed') return { refused: 'not_failed' };
  if (state.expiresAt !== null && Date.parse(state.expiresAt) <= Date.parse(now)) return { refused: 'expired' };
  const generation = state.generation + 1;
  return {
    events: [
      { key: `requeue/${generation}`, type: 'PromptRequeued', data: { ...subject(state), generation, reason, by } },
    ],
    outbox: { op: 'reopen' },
  };
}
