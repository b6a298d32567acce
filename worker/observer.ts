/** What a worker tells while it works; metrics are made of it. */
import type { PromptState } from '../contracts/prompt/state.ts';
import type { RecordObserver } from '../platform/telemetry/recorded.ts';

type Traced = { traceparent: string | null };

export type WorkerObserver = RecordObserver & {
  /** Of a prompt's first attempt, seconds. */
  onQueueWait: (wait: { lane: string; seconds: number } & Traced) => void;
  onFirstToken: (first: { model: string; seconds: number } & Traced) => void;
  onOutcome: (outcome: { model: string; end: string; seconds: number } & Traced) => void;
  onParked: (parked: { model: string; reason: string }) => void;
};

/** Seconds from when the prompt was due to its first attempt's start; null: this is a later one. */
export function queueWaitOf({ attempts, notBefore, submittedAt, startedAt }: PromptState): number | null {
  if (attempts.length !== 1 || startedAt === null) return null;
  const due = Math.max(Date.parse(submittedAt), notBefore === null ? -Infinity : Date.parse(notBefore));
  return Math.max(0, Date.parse(startedAt) - due) / 1000;
}
