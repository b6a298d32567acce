/**
 * What one prompt adds to the sums. A sum is Σ contribution(prompt) at all times: a change of a prompt adds the difference
 * of its contributions, so redelivery, batch size and order of arrival cannot make it wrong.
 *
 * Sums are kept apart by `emulated`. A prompt is counted on the side of who answered it; tokens and money of an attempt on
 * the side of who was called, so that what a real key was or may have been charged stands there whatever else was tried.
 */

import type { RecordedEvent } from '../envelope.ts';
import { isEmulated } from './spend.ts';
import type { AttemptState, PromptState, PromptStatus } from './state.ts';

export const statuses = [
  'queued',
  'running',
  'retrying',
  'completed',
  'failed',
  'cancelled',
  'expired',
] as const satisfies PromptStatus[];

export const measures = [
  ...statuses,
  'input_tokens',
  'cached_input_tokens',
  'output_tokens',
  'thought_tokens',
  'confirmed_nano_usd',
  'wasted_nano_usd',
  'unknown_bound_nano_usd',
] as const;
export type Measures = Record<(typeof measures)[number], number>;

export type UsageKey = { bucket: string; user_id: string; model: string; emulated: boolean };
export type LatencyMeasure = 'queue_wait' | 'model_time' | 'total';
export type Contribution = { key: UsageKey; sums: Measures; latencies: { measure: LatencyMeasure; bin: number }[] };

const BUCKET_MS = 15 * 60_000;
/** Bins grow by 5 %: a percentile read from them is within 5 %. */
export const BIN_GROWTH = 1.05;

export const bucketOf = (time: string): string =>
  new Date(Math.floor(Date.parse(time) / BUCKET_MS) * BUCKET_MS).toISOString();

/** Bin n covers [1.05ⁿ, 1.05ⁿ⁺¹) milliseconds; everything under a millisecond is in bin 0. */
export const binOf = (ms: number): number => (ms < 1 ? 0 : Math.floor(Math.log(ms) / Math.log(BIN_GROWTH)));

/** On one side, or on both. */
export function contributionsOf(state: PromptState): Contribution[] {
  const { userId: user_id, model, attempts } = state;
  const emulated = isEmulated(state);
  const key = { bucket: bucketOf(state.submittedAt), user_id, model, emulated };
  const sums = sumsOf(attempts.filter((attempt) => attempt.emulated === emulated));
  sums[state.status] = 1;
  const own = { key, sums, latencies: latenciesOf(state) };
  const others = attempts.filter((attempt) => attempt.emulated !== emulated);
  if (others.length === 0) return [own];
  return [own, { key: { ...key, emulated: !emulated }, sums: sumsOf(others), latencies: [] }];
}

function sumsOf(attempts: AttemptState[]): Measures {
  const sums = Object.fromEntries(measures.map((name) => [name, 0])) as Measures;
  for (const { end, usage, nanoUsd, boundNanoUsd } of attempts) {
    if (usage) {
      sums.input_tokens += usage.inputTokens;
      sums.cached_input_tokens += usage.cachedInputTokens;
      sums.output_tokens += usage.outputTokens;
      sums.thought_tokens += usage.thoughtTokens;
    }
    if (end === 'open') continue;
    if (nanoUsd === null) sums.unknown_bound_nano_usd += boundNanoUsd ?? 0;
    else if (end === 'answered') sums.confirmed_nano_usd += nanoUsd;
    else sums.wasted_nano_usd += nanoUsd;
  }
  return sums;
}

/** Something was answered or charged by a real key: from the first such event on, emulated prompts are left out. */
export function usedRealKey({ type, data }: RecordedEvent): boolean {
  if (type !== 'PromptCompleted' && type !== 'AttemptFailed' && type !== 'AttemptDiscarded') return false;
  const { emulated, usage, nanoUsd } = data;
  return !emulated && (type === 'PromptCompleted' || (usage?.inputTokens ?? 0) > 0 || (nanoUsd ?? 0) > 0);
}

function latenciesOf(state: PromptState): Contribution['latencies'] {
  const answered = state.attempts.find((attempt) => attempt.end === 'answered');
  if (state.status !== 'completed' || !answered?.endedAt || !state.startedAt || !state.finishedAt) return [];
  const since = (from: string, to: string) => Math.max(0, Date.parse(to) - Date.parse(from));
  // A prompt scheduled for later does not wait before its time.
  const scheduled = state.notBefore !== null && Date.parse(state.notBefore) > Date.parse(state.submittedAt);
  const due = scheduled && state.notBefore ? state.notBefore : state.submittedAt;
  return [
    { measure: 'queue_wait', bin: binOf(since(due, state.startedAt)) },
    { measure: 'model_time', bin: binOf(since(answered.startedAt, answered.endedAt)) },
    { measure: 'total', bin: binOf(since(due, state.finishedAt)) },
  ];
}
