/**
 * The events of one prompt's stream, as stored. Names are past tense; a change of shape is a new
 * schema version with an upcaster (see `upcast.ts`), never an edit of an old one.
 *
 * Every event after the first carries `userId`, `model` and `submittedAt`, so that a reader which
 * starts in the middle of the log (a bulk lane, a user's feed) never has to look back.
 */
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Usage } from '../usage.ts';

const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Uuid = Type.String({ format: 'uuid' });
const Time = Type.String({ format: 'date-time' });
const NanoUsd = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const Lane = Type.Union([Type.Literal('interactive'), Type.Literal('normal'), Type.Literal('batch')]);
export type Lane = Static<typeof Lane>;
export const RetryPolicy = Type.Union([Type.Literal('auto'), Type.Literal('cautious'), Type.Literal('never')]);
export type RetryPolicy = Static<typeof RetryPolicy>;

/** What was asked, exactly; the worker reads it back from the log and sends it. */
export const PromptSubmitted = Type.Object({
  userId: Type.String(),
  model: Type.String(),
  prompt: Type.String(),
  system: Nullable(Type.String()),
  temperature: Nullable(Type.Number()),
  maxOutputTokens: Nullable(Type.Integer()),
  mode: Type.Literal('answer'),
  lane: Lane,
  retry: RetryPolicy,
  conversationId: Nullable(Uuid),
  notBefore: Nullable(Time),
  expiresAt: Nullable(Time),
  metadata: Type.Record(Type.String(), Type.String()),
  /** The most one attempt can cost, at the price version named; null when the model has no price. */
  costBound: Nullable(NanoUsd),
  priceVersion: Nullable(Type.String()),
});

const subject = { userId: Type.String(), model: Type.String(), submittedAt: Time };
const attempt = { ...subject, attempt: Type.Integer({ minimum: 1 }), token: Uuid };

/** What an attempt cost: known (`nanoUsd`), or unknown with the most it can have been (`boundNanoUsd`). */
const accounting = {
  usage: Nullable(Usage),
  /** The provider's own usage block, unread. */
  rawUsage: Type.Unknown(),
  nanoUsd: Nullable(NanoUsd),
  boundNanoUsd: Nullable(NanoUsd),
  priceVersion: Nullable(Type.String()),
  emulated: Type.Boolean(),
};

export const AttemptStarted = Type.Object({
  ...attempt,
  generation: Type.Integer({ minimum: 0 }),
  worker: Type.String(),
  boundNanoUsd: Nullable(NanoUsd),
  priceVersion: Nullable(Type.String()),
});

/** How an attempt without an answer ended. */
export const AttemptEnd = Type.Union([
  /** The provider said no; another attempt may do better. */
  Type.Literal('retry'),
  /** The provider said no; another attempt would end the same way. */
  Type.Literal('failed'),
  /** The request was sent and nobody knows what came of it. */
  Type.Literal('unknown'),
  /** Claimed, surely not sent: costs nothing and counts against nothing. */
  Type.Literal('not_called'),
  /** The provider refuses the whole model for now (daily quota, key, billing): waits, counts against nothing. */
  Type.Literal('parked'),
  /** Its worker fell silent until the lease ended. */
  Type.Literal('lost'),
]);
export type AttemptEnd = Static<typeof AttemptEnd>;

export const AttemptFailed = Type.Object({
  ...attempt,
  ...accounting,
  end: AttemptEnd,
  code: Type.String(),
  message: Type.String(),
  /** Seconds until the next attempt is due; null when there is none. */
  retryInSeconds: Nullable(Type.Number({ minimum: 0 })),
});

/** A second, late or no longer wanted outcome: its cost still counts. */
export const AttemptDiscarded = Type.Object({ ...attempt, ...accounting, code: Type.String() });

/** What an attempt cost after all, as somebody found on the provider's bill: it replaces what was known of it. */
export const AttemptCostCorrected = Type.Object({
  ...attempt,
  nanoUsd: NanoUsd,
  reason: Type.String(),
  by: Type.String(),
});

export const PromptCompleted = Type.Object({
  ...attempt,
  ...accounting,
  /** In the form `encoding` names, see `answer-text.ts`. */
  answer: Type.String(),
  encoding: Type.Union([Type.Literal('plain'), Type.Literal('json')]),
  finishReason: Type.String(),
  truncated: Type.Boolean(),
  modelVersion: Nullable(Type.String()),
});

export const PromptFailed = Type.Object({
  ...subject,
  attempt: Nullable(Type.Integer()),
  code: Type.String(),
  message: Type.String(),
});
export const PromptCancelled = Type.Object({ ...subject, by: Type.String() });
export const PromptExpired = Type.Object({ ...subject });
/** A redrive: the generation counts them; attempt numbers go on, the retry budget starts anew. */
export const PromptRequeued = Type.Object({
  ...subject,
  generation: Type.Integer({ minimum: 1 }),
  reason: Nullable(Type.String()),
  by: Type.String(),
});

export const eventSchemas = {
  PromptSubmitted,
  AttemptStarted,
  AttemptFailed,
  AttemptDiscarded,
  AttemptCostCorrected,
  PromptCompleted,
  PromptFailed,
  PromptCancelled,
  PromptExpired,
  PromptRequeued,
} as const;

export type EventType = keyof typeof eventSchemas;
export const eventTypes = Object.keys(eventSchemas) as EventType[];
export type EventData<T extends EventType> = Static<(typeof eventSchemas)[T]>;

/** An event by type and data alone, before the log gave it a place. */
export type PromptEvent = { [T in EventType]: { type: T; data: EventData<T> } }[EventType];

export const terminalTypes: ReadonlySet<EventType> = new Set<EventType>([
  'PromptCompleted',
  'PromptFailed',
  'PromptCancelled',
  'PromptExpired',
]);

/**
 * The schema version that new events of a type are written with, and its schema above describes. The next one needs an
 * upcaster and a fixture, see doc/how-to/add-a-field-to-an-event.md.
 */
export const schemaVersions: Record<EventType, number> = {
  PromptSubmitted: 1,
  AttemptStarted: 1,
  AttemptFailed: 1,
  AttemptDiscarded: 1,
  AttemptCostCorrected: 1,
  PromptCompleted: 1,
  PromptFailed: 1,
  PromptCancelled: 1,
  PromptExpired: 1,
  PromptRequeued: 1,
};
