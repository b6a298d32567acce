/** What the log adds to an event: identity, place, time, and where it came from. */
import { type Static, Type } from '@sinclair/typebox';
import type { PromptEvent } from './prompt/events.ts';

export const EventMetadata = Type.Object(
  {
    /** The request that began it all; the same on every event of one prompt. */
    correlationId: Type.String(),
    /** Id of the event or request that caused this one. */
    causationId: Type.Union([Type.String(), Type.Null()]),
    /** W3C trace context, so that spans join across processes and waits. */
    traceparent: Type.Union([Type.String(), Type.Null()]),
    /** Who acted: `user:<id>`, `worker:<id>`, `relay:<id>`. */
    actor: Type.String(),
    /** Only with an Idempotency-Key: keyed hash of the body as it was sent. */
    bodyHash: Type.Optional(Type.String()),
  },
  { $id: 'EventMetadata' },
);
export type EventMetadata = Static<typeof EventMetadata>;

/** An event and its place in the log, which is all that a fold reads. */
export type PlacedEvent = PromptEvent & {
  position: number;
  streamId: string;
  version: number;
  /** RFC 3339, UTC, milliseconds; the database's clock. */
  recordedAt: string;
};

/** One row of the log. `position` is gapless and in commit order; `recordedAt` never goes backwards along it. */
export type RecordedEvent = PlacedEvent & { eventId: string; schemaVersion: number; metadata: EventMetadata };

/** CloudEvents 1.0, the form in which events leave the system. */
export function toCloudEvent(
  event: Omit<RecordedEvent, 'type' | 'data'> & { type: string; data: object },
  source: string,
) {
  return {
    specversion: '1.0' as const,
    id: event.eventId,
    source,
    type: event.type,
    subject: event.streamId,
    time: event.recordedAt,
    datacontenttype: 'application/json' as const,
    dataschemaversion: event.schemaVersion,
    position: event.position,
    version: event.version,
    correlationid: event.metadata.correlationId,
    causationid: event.metadata.causationId,
    traceparent: event.metadata.traceparent,
    actor: event.metadata.actor,
    data: event.data,
  };
}
