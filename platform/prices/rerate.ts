/**
 * Recorded events under another price book: what the same tokens would have cost. Pure; nobody is called. Costs are
 * computed as the worker computes them, bounds as the command-api does, so that the book that was charged gives what was
 * charged. The one difference: a price that changed between an attempt's start on record and the call that followed.
 */
import type { RecordedEvent } from '../../contracts/envelope.ts';
import type { EventData } from '../../contracts/prompt/events.ts';
import type { PromptState } from '../../contracts/prompt/state.ts';
import type { PriceBook } from './price-book.ts';

export type Rates = {
  book: Pick<PriceBook, 'version' | 'price' | 'upperBound'>;
  /** What-if: the model at whose prices a model's prompts are rated; the prompt's own unless given. */
  modelFor?: (model: string) => string;
};

/** `before` is the prompt as its re-rated events tell it up to here; null before the first. */
export function rerate(event: RecordedEvent, before: PromptState | null, rates: Rates): RecordedEvent {
  switch (event.type) {
    case 'PromptSubmitted':
      return { ...event, data: { ...event.data, ...submissionBound(event.data, event.recordedAt, rates) } };
    case 'AttemptStarted':
      return { ...event, data: { ...event.data, ...boundOf(before) } };
    case 'AttemptFailed':
      return { ...event, data: { ...event.data, ...chargeOf(event, before, rates) } };
    case 'AttemptDiscarded':
      return { ...event, data: { ...event.data, ...chargeOf(event, before, rates) } };
    case 'PromptCompleted':
      return { ...event, data: { ...event.data, ...chargeOf(event, before, rates) } };
    default:
      return event;
  }
}

/** For a rebuild of the read models with other prices: a name for the version, and each event's other self. */
export type Repricing = {
  name: string;
  rerate: (event: RecordedEvent, before: PromptState | null) => RecordedEvent;
};
export const repricing = (rates: Rates): Repricing => ({
  name: rates.book.version,
  rerate: (event, before) => rerate(event, before, rates),
});

function submissionBound(data: EventData<'PromptSubmitted'>, recordedAt: string, { book, modelFor }: Rates) {
  const costBound = book.upperBound({
    model: modelFor?.(data.model) ?? data.model,
    inputBytes: Buffer.byteLength(data.prompt) + Buffer.byteLength(data.system ?? ''),
    ...(data.maxOutputTokens !== null && { maxOutputTokens: data.maxOutputTokens }),
    at: new Date(recordedAt),
  });
  return { costBound, priceVersion: costBound === null ? null : book.version };
}

const boundOf = (before: PromptState | null) => ({
  boundNanoUsd: before?.boundNanoUsd ?? null,
  priceVersion: before?.priceVersion ?? null,
});

type Settled = RecordedEvent & { type: 'AttemptFailed' | 'AttemptDiscarded' | 'PromptCompleted' };

function chargeOf({ data, recordedAt }: Settled, before: PromptState | null, { book, modelFor }: Rates) {
  // Surely not billed, at any price.
  if (data.usage === null && data.nanoUsd === 0) return {};
  const unknown = { nanoUsd: null, ...boundOf(before) };
  // A cost without tokens cannot be told at another price.
  if (data.usage === null) return unknown;
  const startedAt = before?.attempts.find(({ attempt }) => attempt === data.attempt)?.startedAt ?? recordedAt;
  const price = book.price(modelFor?.(data.model) ?? data.model, data.usage, new Date(startedAt));
  return price ? { ...price, boundNanoUsd: null } : unknown;
}
