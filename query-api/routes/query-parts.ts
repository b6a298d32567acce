/** What queries are made of. Text that Postgres cannot take is refused here, by name. */
import { Type } from '@sinclair/typebox';
import { Position, Time } from '../../contracts/http/scalars.ts';
import { problem } from '../../platform/http/problem.ts';
import type { KeyHolder } from '../../platform/postgres/api-keys.ts';
import { toUtc } from '../../platform/postgres/utc-time.ts';

/** Stricter than the format `uuid`, which takes `urn:uuid:` too. */
export const UuidText = Type.String({
  pattern: '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$',
});
export const Name = Type.String({ minLength: 1, maxLength: 256, pattern: '^[^\\u0000]*$' });
export const Words = Type.String({ minLength: 1, maxLength: 1_000, pattern: '^[^\\u0000]*$' });
export const PromptParams = Type.Object({ id: UuidText });

export const minPosition = Type.Optional(
  Type.Unsafe<number>({ ...Position, description: 'Wait until the read model has this position' }),
);
export const asOf = Type.Optional(
  Type.String({
    minLength: 1,
    maxLength: 64,
    description: 'Look back: everything as it was at this time (RFC 3339) or position of the log, exactly',
    examples: ['2026-05-01T12:00:00Z', '4711'],
  }),
);
export const timeRange = { from: Type.Optional(Time), to: Type.Optional(Time) };

export const invalidParameter = (name: string, message: string) =>
  problem('invalid_request', { errors: [{ pointer: `?${name}`, message }] });

/** A time of a query as UTC; null for none. */
export function timeOf(name: 'from' | 'to', given: string | undefined): string | null {
  if (given === undefined) return null;
  const time = toUtc(given);
  if (time === null) throw invalidParameter(name, 'is no moment in time');
  return time;
}

/** Another's prompt is not found, whoever asks. */
export const mayRead = (who: KeyHolder, ownerId: string): boolean => who.role === 'admin' || who.userId === ownerId;
export const noSuchPrompt = () => problem('not_found', { detail: 'there is no such prompt' });
