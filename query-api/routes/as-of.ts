/** `asOf` of a query: the place in the log that is looked back to. */
import { isDateTime } from '../../platform/http/formats.ts';
import { problem } from '../../platform/http/problem.ts';
import { toUtc } from '../../platform/postgres/utc-time.ts';
import type { ReadDeps } from '../deps.ts';
import { findPoint, type Point } from '../read-models/as-of.ts';
import { invalidParameter } from './query-parts.ts';
import { awaitPosition } from './read-your-writes.ts';

/**
 * Null when nothing is asked for. A time is the last event recorded at or before it. Throws 400 for what is yet to come
 * or before the first event, 410 for what is archived, and `read_model_behind` when the read model does not reach the place
 * in two seconds.
 */
export async function pointOf(
  { primaryPool, live }: Pick<ReadDeps, 'primaryPool' | 'live'>,
  given: string | undefined,
  signal: AbortSignal,
): Promise<Point | null> {
  if (given === undefined) return null;
  const point = await findPoint(primaryPool, parse(given));
  if (point === 'future') throw invalidParameter('asOf', 'is yet to come');
  if (point === 'before_first') throw invalidParameter('asOf', 'is before the first event');
  if ('archivedUpTo' in point)
    throw problem('archived', { detail: `asOf is before position ${point.archivedUpTo}, to which one can look back` });
  await awaitPosition(live, point.position, signal);
  return point;
}

function parse(given: string): { position: number } | { time: string } {
  if (/^\d+$/.test(given)) return { position: Math.min(Number(given), Number.MAX_SAFE_INTEGER) };
  const time = isDateTime(given) ? toUtc(given) : null;
  if (time === null) throw invalidParameter('asOf', 'is neither a time (RFC 3339) nor a position');
  return { time };
}
