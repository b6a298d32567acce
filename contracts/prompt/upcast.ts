/**
 * Lifts stored events to the shapes of `events.ts`, at the read edge only; what is stored is never rewritten.
 * A new schema version of a type adds one entry here, and its fixture to `fixtures/`.
 */
import { type EventType, eventSchemas, SCHEMA_VERSION } from './events.ts';

type Upcaster = (data: Record<string, unknown>) => Record<string, unknown>;

/** `upcasters[type][n]` lifts version n to n + 1. Empty while every type is at its first version. */
export const upcasters: Partial<Record<EventType, Record<number, Upcaster>>> = {};

/** The log holds something this build does not know: a newer writer, or damage. */
export class UnknownEventError extends Error {
  readonly code = 'unknown_event';
}

export function upcast(type: string, schemaVersion: number, data: Record<string, unknown>): Record<string, unknown> {
  if (!Object.hasOwn(eventSchemas, type)) throw new UnknownEventError(`unknown event type ${type}`);
  if (schemaVersion > SCHEMA_VERSION) {
    throw new UnknownEventError(`${type} has schema version ${schemaVersion}, this build knows ${SCHEMA_VERSION}`);
  }
  let lifted = data;
  for (let version = schemaVersion; version < SCHEMA_VERSION; version += 1) {
    const step = upcasters[type as EventType]?.[version];
    if (step) lifted = step(lifted);
  }
  return lifted;
}
