/** The end that events bring to their prompt. */
import type { PromptEvent } from './events.ts';

const STATUS = {
  PromptCompleted: 'completed',
  PromptFailed: 'failed',
  PromptCancelled: 'cancelled',
  PromptExpired: 'expired',
} as const;

export type Ended = { model: string; status: (typeof STATUS)[keyof typeof STATUS] };

/** Null: it goes on, or had ended before. */
export function endOf(events: PromptEvent[]): Ended | null {
  for (const { type, data } of events) {
    if (type in STATUS && 'model' in data) return { model: data.model, status: STATUS[type as keyof typeof STATUS] };
  }
  return null;
}
