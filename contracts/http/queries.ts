/** Answers of the read side. Shapes are what clients rely on: fields may be added, none changed or dropped. */
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Usage } from '../usage.ts';
import { VersionNumber } from './projections.ts';
import { Amount, Count, Nullable, Position, Time, Uuid } from './scalars.ts';

export const Status = Type.Union(
  (['queued', 'running', 'retrying', 'completed', 'failed', 'cancelled', 'expired'] as const).map((status) =>
    Type.Literal(status),
  ),
  { $id: 'Status' },
);

export const Prompt = Type.Object(
  {
    id: Uuid,
    userId: Type.String(),
    status: Status,
    model: Type.String(),
    prompt: Type.String(),
    answer: Nullable(Type.String()),
    finishReason: Nullable(Type.String()),
    truncated: Type.Boolean(),
    emulated: Type.Boolean(),
    error: Nullable(Type.Object({ code: Type.String(), message: Type.String() })),
    attempts: Count,
    usage: Nullable(Usage),
    /** What the answer cost; null while there is none, or when nobody can tell. */
    cost: Nullable(
      Type.Object({
        nanoUsd: Type.Integer(),
        usd: Type.String(),
        priceVersion: Nullable(Type.String()),
        /** The emulator answered: it is what the list price would be, nobody is charged. */
        notional: Type.Boolean(),
      }),
    ),
    /** All attempts that ended, also of answers that were not used; beside what a real key was paid, of real keys alone. */
    spend: Type.Object({
      confirmed: Amount,
      wasted: Amount,
      /** The most that attempts of unknown cost can have cost. */
      unknownBound: Amount,
      unknownAttempts: Count,
      /** `confirmed` and `wasted` are of attempts that the emulator answered: nobody is charged. */
      notional: Type.Boolean(),
    }),
    submittedAt: Time,
    startedAt: Nullable(Time),
    finishedAt: Nullable(Time),
    /** Of the last event folded into this answer. */
    position: Position,
    conversationId: Nullable(Uuid),
    metadata: Type.Record(Type.String(), Type.String()),
    lane: Type.String(),
    retry: Type.String(),
    notBefore: Nullable(Time),
    expiresAt: Nullable(Time),
  },
  { $id: 'Prompt' },
);
export type Prompt = Static<typeof Prompt>;

export const Page = <T extends TSchema>(item: T) =>
  Type.Object({ data: Type.Array(item), hasMore: Type.Boolean(), nextCursor: Nullable(Type.String()) });

/** One event of a prompt's timeline: CloudEvents, see contracts/envelope.ts. */
export const TimelineEvent = Type.Object(
  {
    id: Uuid,
    type: Type.String(),
    time: Time,
    position: Position,
    version: Type.Integer({ minimum: 1 }),
    data: Type.Record(Type.String(), Type.Unknown()),
  },
  { $id: 'TimelineEvent', additionalProperties: true },
);
export type TimelineEvent = Static<typeof TimelineEvent>;

const asOf = {
  position: Position,
  asOf: Nullable(Time),
  /** Of the read model, where one was asked for; and the name of its prices, null for those that were charged. */
  version: Type.Optional(VersionNumber),
  prices: Type.Optional(Nullable(Type.String())),
};
export const Stats = <T extends TSchema>(row: T) => Type.Object({ data: Type.Array(row), ...asOf });

const tokens = { inputTokens: Count, outputTokens: Count };

/** Three numbers, never one: of answers that were used, of those that were not, and the most the rest can have been. */
export const SpendByCertainty = Type.Object({
  confirmed: Amount,
  wasted: Amount,
  unknownBound: Amount,
  /** Of how many attempts nobody knows the cost, those without a bound among them. */
  unknownAttempts: Count,
  /** What of `confirmed` and `wasted` is of attempts that the emulator answered: nobody is charged. */
  notional: Amount,
});

export const UserStats = Type.Object(
  {
    userId: Type.String(),
    prompts: Count,
    completed: Count,
    failed: Count,
    ...tokens,
    thoughtTokens: Count,
    cost: SpendByCertainty,
  },
  { $id: 'UserStats' },
);

/** Of all users that have no row of their own. */
export const OtherUsers = Type.Object(
  { users: Count, ...Type.Omit(UserStats, ['userId']).properties },
  { $id: 'OtherUsers' },
);
export const UsersAnswer = Type.Object({
  ...Stats(UserStats).properties,
  /** Null when every user has a row. */
  other: Nullable(OtherUsers),
});

export const ModelStats = Type.Object(
  {
    model: Type.String(),
    prompts: Count,
    /** Distinct users. */
    users: Count,
    /** Of all prompts in the answer, 0..1. */
    share: Type.Number(),
    ...tokens,
    thoughtTokens: Count,
    cost: Amount,
    /** What of `cost` is of attempts that the emulator answered: nobody is charged. */
    notional: Amount,
  },
  { $id: 'ModelStats' },
);

export const UsageStats = Type.Object(
  {
    /** Start of the hour or day of the time zone, as a moment in UTC. */
    bucket: Time,
    model: Type.Optional(Nullable(Type.String())),
    /** Null: all users that have no rows of their own. */
    userId: Type.Optional(Nullable(Type.String())),
    prompts: Count,
    completed: Count,
    failed: Count,
    ...tokens,
    thoughtTokens: Count,
    cost: SpendByCertainty,
  },
  { $id: 'UsageStats' },
);

/**
 * reserved: it runs. confirmed: the answer that was used. wasted: paid for without one. unknown: nobody can tell. void: it
 * ended and cost nothing.
 */
export const LedgerState = Type.Union(
  (['reserved', 'confirmed', 'wasted', 'unknown', 'void'] as const).map((state) => Type.Literal(state)),
  { $id: 'LedgerState' },
);

/** What one attempt cost. */
export const LedgerEntry = Type.Object(
  {
    promptId: Uuid,
    attempt: Type.Integer({ minimum: 1 }),
    userId: Type.String(),
    model: Type.String(),
    state: LedgerState,
    /** Null while it is not known; then `bound` is the most it can be, if the model has a price. */
    cost: Nullable(Amount),
    bound: Nullable(Amount),
    priceVersion: Nullable(Type.String()),
    /** The emulator answered: nobody is charged. */
    notional: Type.Boolean(),
    /** An admin put the cost right, see the prompt's timeline. */
    corrected: Type.Boolean(),
    reservedAt: Time,
    settledAt: Nullable(Time),
    /** Of the event that settled it, or reserved it. */
    position: Position,
  },
  { $id: 'LedgerEntry' },
);
export type LedgerEntry = Static<typeof LedgerEntry>;
export const LedgerPage = Type.Object({ ...Page(LedgerEntry).properties, position: Position }, { $id: 'LedgerPage' });
export type LedgerPage = Static<typeof LedgerPage>;

/** A stream that a projection has set aside; the prompt of the same id is read from the log meanwhile. */
export const ParkedStream = Type.Object(
  {
    projection: Type.String(),
    /** Of the projection's tables. */
    version: Type.Integer({ minimum: 1 }),
    streamId: Uuid,
    /** Of the event that could not be folded; it and what comes after it in the stream waits. */
    position: Position,
    type: Nullable(Type.String()),
    schemaVersion: Nullable(Type.Integer()),
    error: Type.String(),
    parkedAt: Time,
    /** Later events of the stream. */
    waiting: Count,
  },
  { $id: 'ParkedStream' },
);
export type ParkedStream = Static<typeof ParkedStream>;

const Percentiles = Type.Object({
  count: Count,
  p50: Nullable(Type.Number()),
  p95: Nullable(Type.Number()),
  p99: Nullable(Type.Number()),
});
/** Milliseconds, within 5 %. */
export const LatencyStats = Type.Object(
  {
    measure: Type.Union([Type.Literal('queue_wait'), Type.Literal('model_time'), Type.Literal('total')]),
    ...Percentiles.properties,
  },
  { $id: 'LatencyStats' },
);

export const ModelPrice = Type.Object(
  {
    model: Type.String(),
    /** USD for a million tokens, decimal strings; list price of the lowest tier. */
    inputPerMillion: Nullable(Type.String()),
    cachedInputPerMillion: Nullable(Type.String()),
    outputPerMillion: Nullable(Type.String()),
    priceVersion: Type.String(),
    default: Type.Boolean(),
  },
  { $id: 'ModelPrice', additionalProperties: true },
);
