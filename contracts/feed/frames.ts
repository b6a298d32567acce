/** The live feed, subprotocol `live.v1`: the same frames over WebSocket and SSE. */
import { type Static, Type } from '@sinclair/typebox';
import { Prompt } from '../http/queries.ts';
import { Position, Uuid } from '../http/scalars.ts';

export const SubscribeFrame = Type.Object(
  {
    type: Type.Literal('subscribe'),
    /** Position seen last: everything after it is sent first. Absent: from now on. */
    after: Type.Optional(Position),
    promptId: Type.Optional(Uuid),
    deltas: Type.Optional(Type.Boolean()),
  },
  { $id: 'SubscribeFrame', additionalProperties: false },
);
export type SubscribeFrame = Static<typeof SubscribeFrame>;

export const HelloFrame = Type.Object({ type: Type.Literal('hello'), position: Position });
export const EventFrame = Type.Object({
  type: Type.Literal('event'),
  position: Position,
  event: Type.String(),
  promptId: Uuid,
  /** At least as new as the event. */
  prompt: Prompt,
});
/** Keeps a quiet client's position fresh, so that its next `after` is not far behind. */
export const PositionFrame = Type.Object({ type: Type.Literal('position'), position: Position });
export const DeltaFrame = Type.Object({
  type: Type.Literal('delta'),
  promptId: Uuid,
  attempt: Type.Integer({ minimum: 1 }),
  seq: Type.Integer({ minimum: 0 }),
  text: Type.String(),
});
/** Too slow, or asked for too old a position: read the state again, then go on from here. */
export const ResyncFrame = Type.Object({ type: Type.Literal('resync'), position: Position });

export const ServerFrame = Type.Union([HelloFrame, EventFrame, PositionFrame, DeltaFrame, ResyncFrame], {
  $id: 'ServerFrame',
});
export type ServerFrame = Static<typeof ServerFrame>;
export type EventFrame = Static<typeof EventFrame>;
