/** Bodies and answers of the command side. */
import { type Static, Type } from '@sinclair/typebox';
import { Lane, RetryPolicy } from '../prompt/events.ts';
import { Count, Position, Time, Uuid } from './scalars.ts';

/** 1..100,000 code points (JSON Schema counts code points). */
const Text = Type.String({ minLength: 1, maxLength: 100_000 });

/** Not Type.Record: its pattern for names lets those with a line break pass, with any value. */
const Metadata = Type.Unsafe<Record<string, string>>({
  type: 'object',
  maxProperties: 16,
  propertyNames: { minLength: 1, maxLength: 64 },
  additionalProperties: { type: 'string', maxLength: 1024 },
});

export const AskBody = Type.Object(
  {
    prompt: Text,
    model: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    system: Type.Optional(Text),
    temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2 })),
    maxOutputTokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
    mode: Type.Optional(Type.Union([Type.Literal('answer'), Type.Literal('research')])),
    conversationId: Type.Optional(Uuid),
    lane: Type.Optional(Lane),
    retry: Type.Optional(RetryPolicy),
    notBefore: Type.Optional(Time),
    expiresAt: Type.Optional(Time),
    metadata: Type.Optional(Metadata),
  },
  { $id: 'AskBody', additionalProperties: false },
);
export type AskBody = Static<typeof AskBody>;

export const Accepted = Type.Object(
  { id: Uuid, status: Type.Literal('queued'), position: Position, submittedAt: Time },
  { $id: 'Accepted' },
);
export type Accepted = Static<typeof Accepted>;

/** Nothing may be said yet; a body is optional. */
export const CancelBody = Type.Object({}, { $id: 'CancelBody', additionalProperties: false });
export const CancelAccepted = Type.Object(
  { id: Uuid, status: Type.Literal('cancelled'), position: Position },
  { $id: 'CancelAccepted' },
);

const Reason = Type.String({ minLength: 1, maxLength: 1024 });

export const RetryBody = Type.Object(
  { reason: Type.Optional(Reason) },
  { $id: 'RetryBody', additionalProperties: false },
);
export const RetryAccepted = Type.Object(
  { id: Uuid, status: Type.Literal('queued'), position: Position, generation: Count },
  { $id: 'RetryAccepted' },
);

/** For admins: what an attempt cost, as the provider's bill has it. */
export const CostBody = Type.Object(
  {
    nanoUsd: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    /** Required: money that changes without a word why is nobody's doing. */
    reason: Reason,
  },
  { $id: 'CostBody', additionalProperties: false },
);
export const CostCorrected = Type.Object(
  { id: Uuid, attempt: Type.Integer({ minimum: 1 }), nanoUsd: Count, position: Position },
  { $id: 'CostCorrected' },
);
export type CostCorrected = Static<typeof CostCorrected>;

/** Redrive of all failed prompts that match: a user's own, an admin's everybody's unless `userId` names one. */
export const BulkRetryBody = Type.Object(
  {
    filter: Type.Object(
      {
        model: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
        code: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: 'What they failed with' })),
        conversationId: Type.Optional(Uuid),
        from: Type.Optional(Type.Unsafe<string>({ ...Time, description: 'Submitted then or later' })),
        to: Type.Optional(Type.Unsafe<string>({ ...Time, description: 'Submitted before' })),
        userId: Type.Optional(Type.String({ minLength: 1, maxLength: 256, description: 'For admins' })),
      },
      { additionalProperties: false },
    ),
    /** Required: many prompts sent again without a word why are nobody's doing. */
    reason: Reason,
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
    dryRun: Type.Optional(Type.Boolean()),
  },
  { $id: 'BulkRetryBody', additionalProperties: false },
);
export type BulkRetryBody = Static<typeof BulkRetryBody>;

export const BulkRetryAccepted = Type.Object(
  {
    /** Failed prompts found, `limit` at most. */
    matched: Count,
    requeued: Count,
    /** Not sent again, and the code that a single redrive would have answered with. */
    skipped: Type.Array(
      Type.Object({
        id: Uuid,
        code: Type.Union([
          Type.Literal('wrong_state'),
          Type.Literal('expired'),
          Type.Literal('not_found'),
          Type.Literal('unavailable'),
        ]),
      }),
    ),
    /** Further ones match that can be sent again: call once more. */
    more: Type.Boolean(),
  },
  { $id: 'BulkRetryAccepted' },
);
export type BulkRetryAccepted = Static<typeof BulkRetryAccepted>;
