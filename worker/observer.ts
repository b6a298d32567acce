/** What a worker tells while it works; metrics are made of it. */

import type { NewEvent } from '../contracts/prompt/decide.ts';
import { type Ended, endOf } from '../contracts/prompt/ended.ts';
import type { PromptState } from '../contracts/prompt/state.ts';
import type { Charged } from '../platform/telemetry/instruments/worker.ts';

type Traced = { traceparent: string | null };

export type WorkerObserver = {
  /** Of a prompt's first attempt, seconds. */
  onQueueWait: (wait: { lane: string; seconds: number } & Traced) => void;
  onFirstToken: (first: { model: string; seconds: number } & Traced) => void;
  onOutcome: (outcome: { model: string; end: string; seconds: number } & Traced) => void;
  /** An attempt without an answer is on record. */
  onFailure: (failure: { model: string; code: string; retried: boolean }) => void;
  onCharged: (charged: Charged) => void;
  onEnded: (ended: Ended) => void;
  onParked: (parked: { model: string; reason: string }) => void;
};

/** Seconds from when the prompt was due to its first attempt's start; null: this is a later one. */
export function queueWaitOf({ attempts, notBefore, submittedAt, startedAt }: PromptState): number | null {
  if (attempts.length !== 1 || startedAt === null) return null;
  const due = Math.max(Date.parse(submittedAt), notBefore === null ? -Infinity : Date.parse(notBefore));
  return Math.max(0, Date.parse(startedAt) - due) / 1000;
}

/** What events that are on record now say of an attempt, its cost and its prompt. */
export function tellRecorded(observer: Partial<WorkerObserver>, events: NewEvent[]): void {
  for (const { type, data } of events) {
    if (type === 'AttemptFailed') {
      observer.onFailure?.({ model: data.model, code: data.code, retried: data.retryInSeconds !== null });
    }
    if (type !== 'AttemptFailed' && type !== 'AttemptDiscarded' && type !== 'PromptCompleted') continue;
    const { model, usage, nanoUsd, boundNanoUsd, emulated } = data;
    const account = type === 'PromptCompleted' ? 'confirmed' : 'wasted';
    observer.onCharged?.({ model, account, usage, nanoUsd, boundNanoUsd, emulated });
  }
  const ended = endOf(events);
  if (ended) observer.onEnded?.(ended);
}
