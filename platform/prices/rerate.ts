/**
 * Prompts under another price book: what the same tokens would have cost. Pure; nobody is called. Costs are computed as
 * the worker computes them, bounds as the command-api does, so that the book that was charged gives what was charged. The
 * one difference: a price that changed between an attempt's start on record and the call that followed.
 */
import type { PlacedEvent } from '../../contracts/envelope.ts';
import type { EventData } from '../../contracts/prompt/events.ts';
import { type AttemptState, evolve, type PromptState } from '../../contracts/prompt/state.ts';
import type { PriceBook } from './price-book.ts';

export type Rates = {
  book: Pick<PriceBook, 'version' | 'price' | 'upperBound'>;
  /** What-if: the model at whose prices a model's prompts are rated; the prompt's own unless given. */
  modelFor?: (model: string) => string;
};

/**
 * As `evolve`, at these prices. A bill is of the model and the prices that were charged: a correction that comes from it
 * counts where these are the same. Elsewhere the attempt costs what its tokens cost, and without tokens nobody can tell.
 */
export function evolveAt(before: PromptState | null, event: PlacedEvent, rates: Rates): PromptState {
  if (before && event.type === 'AttemptCostCorrected' && attemptOf(before, event)?.ratedAnew)
    return corrected(before, event);
  const next = evolve(before, rerate(event, before, rates));
  if (!isRated(event)) return next;
  const former = before ? attemptOf(before, event) : undefined;
  const attempts = next.attempts.map((one) =>
    one.attempt === event.data.attempt ? marked(one, isRatedAnew(event, one, former, rates)) : one,
  );
  return { ...next, attempts };
}

function corrected(before: PromptState, { data, version, position }: Correction): PromptState {
  const attempts = before.attempts.map((one) =>
    // Also one that was surely not billed, as was thought.
    one.attempt === data.attempt && one.usage === null ? { ...one, nanoUsd: null, ...boundOf(before) } : one,
  );
  return { ...before, version, position, attempts };
}

type Correction = PlacedEvent & { type: 'AttemptCostCorrected' };

const attemptOf = ({ attempts }: PromptState, { data }: { data: { attempt: number } }): AttemptState | undefined =>
  attempts.find(({ attempt }) => attempt === data.attempt);

/** Events that say what an attempt costs, or can cost at most. */
type Rated = PlacedEvent & { type: 'AttemptStarted' | 'AttemptFailed' | 'AttemptDiscarded' | 'PromptCompleted' };

const isRated = (event: PlacedEvent): event is Rated =>
  event.type === 'AttemptStarted' ||
  event.type === 'AttemptFailed' ||
  event.type === 'AttemptDiscarded' ||
  event.type === 'PromptCompleted';

/** `now` is the attempt after the event, `former` before it. */
function isRatedAnew(
  { data }: Rated,
  now: AttemptState,
  former: AttemptState | undefined,
  { modelFor }: Rates,
): boolean {
  const stays = former?.ratedAnew === true;
  if (former && former.end !== 'open' && former.nanoUsd !== null) return stays; // a cost that is known is told once
  if (modelFor && modelFor(data.model) !== data.model) return true;
  // With a price on neither side, only what the attempt began with can tell one book from another.
  if (data.priceVersion === null && now.priceVersion === null) return stays;
  return data.priceVersion !== now.priceVersion;
}

function marked({ ratedAnew: _, ...attempt }: AttemptState, ratedAnew: boolean): AttemptState {
  return ratedAnew ? { ...attempt, ratedAnew } : attempt;
}

/** `before` is the prompt as it is read at these prices up to here; null before the first event. */
export function rerate(event: PlacedEvent, before: PromptState | null, rates: Rates): PlacedEvent {
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

/** For a rebuild of the read models with other prices: a name for them, and how a prompt is read at them. */
export type Repricing = {
  name: string;
  read: (before: PromptState | null, event: PlacedEvent) => PromptState;
};
export const repricing = (rates: Rates, name: string = rates.book.version): Repricing => ({
  name,
  read: (before, event) => evolveAt(before, event, rates),
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

type Settled = PlacedEvent & { type: 'AttemptFailed' | 'AttemptDiscarded' | 'PromptCompleted' };

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
