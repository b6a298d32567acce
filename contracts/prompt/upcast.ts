/**
 * Lifts stored events to the shapes of `events.ts`, at the read edge only; what is stored is never rewritten.
 * A new schema version of a type adds one entry here, and its fixture to `fixtures/`.
 */
import { type EventType, schemaVersions } from './events.ts';

type Data = Record<string, unknown>;
/** Pure: the same stored data always gives the same event. It must not change what it is given. */
export type Upcaster = (data: Data) => Data;

/** `upcasters[type][n]` lifts version n to n + 1. Empty while every type is at its first version. */
export const upcasters: Partial<Record<EventType, Record<number, Upcaster>>> = {};

/** The log holds something this build does not know: a newer writer, or damage. */
export class UnknownEventError extends Error {
  readonly code = 'unknown_event';
}

export const upcast = createUpcast(schemaVersions, upcasters);

/** Throws when a step from the first version to the present one is missing, or leads nowhere: such a build must not start. */
export function createUpcast(
  versions: Readonly<Record<string, number>>,
  steps: Readonly<Record<string, Readonly<Record<number, Upcaster>> | undefined>>,
): (type: string, schemaVersion: number, data: Data) => Data {
  for (const type of new Set([...Object.keys(versions), ...Object.keys(steps)])) {
    const wanted = Array.from({ length: (versions[type] ?? 0) - 1 }, (_, i) => String(i + 1));
    const found = Object.keys(steps[type] ?? {});
    if (!(type in versions) || found.join() !== wanted.join()) {
      throw new Error(`${type} has upcasters from versions [${found.join()}], it needs them from [${wanted.join()}]`);
    }
  }
  return (type, schemaVersion, data) => {
    const present = Object.hasOwn(versions, type) ? versions[type]! : 0;
    if (present === 0) throw new UnknownEventError(`unknown event type ${type}`);
    if (schemaVersion < 1 || schemaVersion > present) {
      throw new UnknownEventError(`${type} has schema version ${schemaVersion}, this build knows ${present}`);
    }
    let lifted = data;
    for (let version = schemaVersion; version < present; version += 1) lifted = steps[type]![version]!(lifted);
    return lifted;
  };
}
