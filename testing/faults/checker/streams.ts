/** The log as the checker reads it: its own small fold, written apart from the one it judges. */
import type { Evidence, LoggedEvent } from '../evidence.ts';

export type Violation = { invariant: string; promptId: string | null; message: string };
export type Judge = (evidence: Evidence) => Violation[];

export const TERMINAL: ReadonlySet<string> = new Set([
  'PromptCompleted',
  'PromptFailed',
  'PromptCancelled',
  'PromptExpired',
]);

/** By prompt, in the order of the log. */
export function streamsOf({ database }: Evidence): Map<string, LoggedEvent[]> {
  return Map.groupBy(database.log, (event) => event.streamId);
}

export type AttemptFold = {
  attempt: number;
  generation: number;
  token: string;
  startedAt: number;
  endedAt: number | null;
  /** Its lease ended before its outcome came; an outcome that came later does not undo that. */
  lostAt: number | null;
  /** `open`, `answered`, `discarded`, or how it failed. */
  end: string;
  nanoUsd: number | null;
  boundNanoUsd: number | null;
  /** How often a known cost was recorded. */
  knownCosts: number;
};
export type Fold = {
  promptId: string;
  userId: string;
  model: string;
  retry: string;
  status: string;
  generation: number;
  attempts: AttemptFold[];
  last: LoggedEvent;
};

const STATUS: Record<string, string> = {
  AttemptStarted: 'running',
  PromptCompleted: 'completed',
  PromptFailed: 'failed',
  PromptCancelled: 'cancelled',
  PromptExpired: 'expired',
  PromptRequeued: 'queued',
};

/** Null when the stream does not begin with its submission. */
export function foldStream(events: LoggedEvent[]): Fold | null {
  const [first] = events;
  if (first?.type !== 'PromptSubmitted') return null;
  const { userId, model, retry = 'auto' } = first.data;
  const fold: Fold = {
    promptId: first.streamId,
    userId,
    model,
    retry,
    status: 'queued',
    generation: 0,
    attempts: [],
    last: first,
  };
  for (const event of events) {
    const { data, type } = event;
    fold.last = event;
    const settled = fold.attempts.find(({ attempt }) => attempt === data.attempt);
    if (type === 'AttemptStarted') {
      fold.attempts.push({
        attempt: data.attempt!,
        generation: fold.generation,
        token: data.token!,
        startedAt: Date.parse(event.recordedAt),
        endedAt: null,
        lostAt: null,
        end: 'open',
        nanoUsd: null,
        boundNanoUsd: data.boundNanoUsd ?? null,
        knownCosts: 0,
      });
    } else if (settled && (type === 'AttemptFailed' || type === 'AttemptDiscarded' || type === 'PromptCompleted')) {
      const known = settled.end !== 'open' && settled.nanoUsd !== null;
      settled.end = type === 'AttemptFailed' ? data.end! : type === 'PromptCompleted' ? 'answered' : 'discarded';
      if (settled.end === 'lost') settled.lostAt = Date.parse(event.recordedAt);
      settled.endedAt ??= Date.parse(event.recordedAt);
      if (data.nanoUsd !== null && data.nanoUsd !== undefined) settled.knownCosts += 1;
      if (!known) {
        settled.nanoUsd = data.nanoUsd ?? null;
        settled.boundNanoUsd = settled.nanoUsd === null ? (data.boundNanoUsd ?? null) : null;
      }
    }
    if (type === 'PromptRequeued') fold.generation += 1;
    if (type === 'AttemptFailed')
      fold.status = TERMINAL.has(`Prompt${fold.status[0]!.toUpperCase()}${fold.status.slice(1)}`)
        ? fold.status
        : 'retrying';
    else fold.status = STATUS[type] ?? fold.status;
  }
  return fold;
}

export function foldsOf(evidence: Evidence): Map<string, Fold> {
  const folds = new Map<string, Fold>();
  for (const [id, events] of streamsOf(evidence)) {
    const fold = foldStream(events);
    if (fold) folds.set(id, fold);
  }
  return folds;
}

export const say =
  (invariant: string) =>
  (promptId: string | null, message: string): Violation => ({ invariant, promptId, message });
