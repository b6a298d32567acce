/** The live feed, subprotocol `live.v1`: the same frames over WebSocket and SSE. */
import { type Static, Type } from '@sinclair/typebox';
import { RebuildOutcome, RebuildPhase, VersionNumber } from '../http/projections.ts';
import { Prompt } from '../http/queries.ts';
import { Count, Nullable, Position, Uuid } from '../http/scalars.ts';

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
/**
 * To an admin's subscription of everything: how far a rebuild of read models is, twice a second at most. It carries no
 * position of the feed, and none is missed when one is not sent: the next tells all.
 */
export const RebuildFrame = Type.Object({
  type: Type.Literal('rebuild'),
  /** Of the rebuild. */
  id: Uuid,
  projection: Type.String(),
  /** That is built; null before it is begun. */
  version: Nullable(VersionNumber),
  phase: RebuildPhase,
  /** Of this phase, of `target`: events passed; while indexing and comparing, as many as the share of the work that is done. */
  at: Position,
  target: Position,
  eventsPerSecond: Count,
  /** It has ended: the last of its frames. */
  outcome: Type.Optional(RebuildOutcome),
});

export const ServerFrame = Type.Union([HelloFrame, EventFrame, PositionFrame, DeltaFrame, ResyncFrame, RebuildFrame], {
  $id: 'ServerFrame',
});
export type ServerFrame = Static<typeof ServerFrame>;
export type EventFrame = Static<typeof EventFrame>;
export type RebuildFrame = Static<typeof RebuildFrame>;
