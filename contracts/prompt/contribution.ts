/**
 * What one prompt adds to the sums. A sum is Σ contribution(prompt) at all times: a change of a prompt adds the difference
 * of its contributions, so redelivery, batch size and order of arrival cannot make it wrong.
 *
 * Sums are kept apart by `emulated`. A prompt is counted on the side of who answered it; tokens and money of an attempt on
 * the side of who was called, so that what a real key was or may have been charged stands there whatever else was tried.
 */

import type { PlacedEvent } from '../envelope.ts';
import { binOf, codeOf } from './histogram.ts';
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
  'unknown_attempts',
] as const;
export type Measures = Record<(typeof measures)[number], number>;

export type UsageKey = { bucket: string; user_id: string; model: string; emulated: boolean };
/** `bins`: of its times, once it is answered, see histogram.ts. */
export type Contribution = { key: UsageKey; sums: Measures; bins: number[] };

const BUCKET_MS = 15 * 60_000;

/** Start of the quarter of an hour. Most often it is the one that was asked for last. */
export function bucketOf(time: string): string {
  const ms = Math.floor(Date.parse(time) / BUCKET_MS) * BUCKET_MS;
  if (ms !== lastBucket.ms) lastBucket = { ms, text: new Date(ms).toISOString() };
  return lastBucket.text;
}
let lastBucket = { ms: 0, text: new Date(0).toISOString() };

/** On one side, or on both. */
export function contributionsOf(state: PromptState): Contribution[] {
  const { userId: user_id, model, attempts } = state;
  const emulated = isEmulated(state);
  const key = { bucket: bucketOf(state.submittedAt), user_id, model, emulated };
  const sums = sumsOf(attempts, emulated);
  sums[state.status] = 1;
  const own = { key, sums, bins: binsOf(state) };
  if (!attempts.some((attempt) => attempt.emulated !== emulated)) return [own];
  return [own, { key: { ...key, emulated: !emulated }, sums: sumsOf(attempts, !emulated), bins: [] }];
}

/** Written out: millions of these are made, all of one shape. */
export const noSums = (): Measures => ({
  queued: 0,
  running: 0,
  retrying: 0,
  completed: 0,
  failed: 0,
  cancelled: 0,
  expired: 0,
  input_tokens: 0,
  cached_input_tokens: 0,
  output_tokens: 0,
  thought_tokens: 0,
  confirmed_nano_usd: 0,
  wasted_nano_usd: 0,
  unknown_bound_nano_usd: 0,
  unknown_attempts: 0,
});

/** Of the attempts on one side. */
function sumsOf(attempts: AttemptState[], side: boolean): Measures {
  const sums = noSums();
  for (const { end, emulated, usage, nanoUsd, boundNanoUsd } of attempts) {
    if (emulated !== side) continue;
    if (usage) {
      sums.input_tokens += usage.inputTokens;
      sums.cached_input_tokens += usage.cachedInputTokens;
      sums.output_tokens += usage.outputTokens;
      sums.thought_tokens += usage.thoughtTokens;
    }
    if (end === 'open') continue;
    if (nanoUsd === null) {
      sums.unknown_bound_nano_usd += boundNanoUsd ?? 0;
      sums.unknown_attempts += 1;
    } else if (end === 'answered') sums.confirmed_nano_usd += nanoUsd;
    else sums.wasted_nano_usd += nanoUsd;
  }
  return sums;
}

/** Something was answered or charged by a real key: from the first such event on, emulated prompts are left out. */
export function usedRealKey({ type, data }: PlacedEvent): boolean {
  if (type !== 'PromptCompleted' && type !== 'AttemptFailed' && type !== 'AttemptDiscarded') return false;
  const { emulated, usage, nanoUsd } = data;
  return !emulated && (type === 'PromptCompleted' || (usage?.inputTokens ?? 0) > 0 || (nanoUsd ?? 0) > 0);
}

function binsOf(state: PromptState): number[] {
  const answered = state.attempts.find((attempt) => attempt.end === 'answered');
  if (state.status !== 'completed' || !answered?.endedAt || !state.startedAt || !state.finishedAt) return [];
  const submitted = Date.parse(state.submittedAt);
  // A prompt scheduled for later does not wait before its time.
  const due = state.notBefore === null ? submitted : Math.max(submitted, Date.parse(state.notBefore));
  return [
    codeOf('queue_wait', binOf(Date.parse(state.startedAt) - due)),
    codeOf('model_time', binOf(Date.parse(answered.endedAt) - Date.parse(answered.startedAt))),
    codeOf('total', binOf(Date.parse(state.finishedAt) - due)),
  ];
}
