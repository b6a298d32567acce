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

export const RetryBody = Type.Object(
  { reason: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })) },
  { $id: 'RetryBody', additionalProperties: false },
);
export const RetryAccepted = Type.Object(
  { id: Uuid, status: Type.Literal('queued'), position: Position, generation: Count },
  { $id: 'RetryAccepted' },
);
