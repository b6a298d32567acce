/** What events tell of attempts, cost and ends once they are on record; metrics are made of it. */
import type { NewEvent } from '../../contracts/prompt/decide.ts';
import { type Ended, endOf } from '../../contracts/prompt/ended.ts';
import type { Charged } from './instruments/attempts.ts';

export type RecordObserver = {
  /** An attempt without an answer is on record. */
  onFailure: (failure: { model: string; code: string; retried: boolean }) => void;
  onCharged: (charged: Charged) => void;
  onEnded: (ended: Ended) => void;
};

/** What events that are on record now say of an attempt, its cost and its prompt. */
export function tellRecorded(observer: Partial<RecordObserver>, events: NewEvent[]): void {
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
