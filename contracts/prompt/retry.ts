/** Whether and when a failed attempt is followed by another: the one owner of retries. */
import type { AttemptEnd } from './events.ts';
import { countedAttempts, type PromptState } from './state.ts';

export type RetryBudget = {
  /** Attempts in one generation that may be called; ≥ 1. */
  maxAttempts: number;
  baseSeconds: number;
  capSeconds: number;
  /** An attempt's deadline: `cautious` waits so long before it repeats a call nobody knows the end of. */
  callTimeoutSeconds: number;
  /** 0 ≤ r < 1, drawn by the caller: decisions stay pure. */
  random: number;
};

/** A provider that names a longer one is not taken at its word: no prompt waits for years. */
const LONGEST_WISH_SECONDS = 86_400;

type FailedResult = { end: AttemptEnd; code: string; message: string; afterSeconds?: number };
export type AfterFailure = { retryInSeconds: number } | { code: string; message: string };

/** Seconds: base × 2^(n-1) up to the cap, then half of it at random, so that a crowd does not return at once. */
export function backoffSeconds(failures: number, budget: RetryBudget): number {
  const full = Math.min(budget.capSeconds, budget.baseSeconds * 2 ** Math.max(0, failures - 1));
  return Math.round((full / 2 + (full / 2) * budget.random) * 1000) / 1000;
}

/** Seconds: anywhere between now and twice the backoff, which is what those lost together are spread over. */
const apartSeconds = (failures: number, budget: RetryBudget): number =>
  Math.round(Math.min(budget.capSeconds, budget.baseSeconds * 2 ** failures) * budget.random * 1000) / 1000;

const lossesOf = ({ attempts, generation }: PromptState): number =>
  attempts.filter((one) => one.generation === generation && one.end === 'lost').length;

/** `state` is the one before the failure is recorded: the failing attempt is its open one. */
export function afterFailure(state: PromptState, result: FailedResult, budget: RetryBudget): AfterFailure {
  if (result.end === 'not_called') return { retryInSeconds: 0 };
  if (result.end === 'failed') return { code: result.code, message: result.message };
  const unknown = result.end === 'unknown' || result.end === 'lost';
  if (state.retry === 'never') {
    return unknown
      ? { code: 'outcome_unknown', message: 'the provider was called once and its outcome is not known' }
      : { code: result.code, message: result.message };
  }
  const wished = result.afterSeconds === undefined ? null : Math.min(result.afterSeconds, LONGEST_WISH_SECONDS);
  // Not this prompt's fault: it waits for its model and keeps its budget.
  if (result.end === 'parked') return { retryInSeconds: wished ?? budget.capSeconds };
  const failures = countedAttempts(state);
  if (failures >= budget.maxAttempts) {
    return {
      code: 'attempts_exhausted',
      message: `${failures} attempts failed, the last with ${result.code}: ${result.message}`,
    };
  }
  const backoff = backoffSeconds(failures, budget);
  // A lost attempt has already waited for its lease, and if need be for its deadline: see outbox.hold_until. Prompts lost
  // with the same worker more than once part at random: one of them may be what ends it.
  if (result.end === 'lost') return { retryInSeconds: lossesOf(state) === 0 ? 0 : apartSeconds(failures, budget) };
  if (result.end === 'unknown' && state.retry === 'cautious') {
    return { retryInSeconds: Math.max(backoff, budget.callTimeoutSeconds) };
  }
  // The provider's wish is a floor; jitter comes on top, since it told everybody the same.
  return { retryInSeconds: Math.max(backoff, (wished ?? 0) * (1 + budget.random / 10)) };
}
