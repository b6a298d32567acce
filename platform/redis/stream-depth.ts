/** How much lies in a stream, and how far a consumer group is. */
import { readFileSync } from 'node:fs';
import type { RedisClient } from './connection.ts';
import { fieldsOf } from './info-fields.ts';

const COUNT_UNDELIVERED = readFileSync(new URL('scripts/count-undelivered.lua', import.meta.url), 'utf8');
/** Some milliseconds of Redis' time, while it cannot tell the lag itself. */
const COUNTED_MOST = 10_000;

export type StreamDepth = {
  entries: number;
  /** Not given to any consumer yet. */
  lag: number;
  /** Given and not acknowledged. */
  pending: number;
};

/** An absent stream has nothing in it; an absent group was given nothing. */
export async function readStreamDepth(redis: RedisClient, stream: string, group: string): Promise<StreamDepth> {
  const answers = await redis.pipeline().xlen(stream).call('XINFO', 'GROUPS', stream).exec();
  const [[lengthError, length] = [], [groupsError, groups] = []] = answers ?? [];
  if (lengthError) throw lengthError;
  if (groupsError && !/no such key/.test(groupsError.message)) throw groupsError;
  const entries = Number(length);
  const found = groupsError ? undefined : (groups as unknown[]).map(fieldsOf).find((one) => one.get('name') === group);
  if (!found) return { entries, lag: entries, pending: 0 };
  const pending = Number(found.get('pending'));
  const lag = found.get('lag');
  if (lag !== undefined) return { entries, lag: Number(lag), pending };
  // Redis does not know: an entry was deleted before it was given. An alert must not be blind for that.
  const from = found.get('last-delivered-id') ?? '0-0';
  const counted = (await redis.eval(COUNT_UNDELIVERED, 1, stream, from, COUNTED_MOST)) as number;
  // With more, the rest is estimated: what is neither pending nor counted may have been acknowledged.
  return { entries, lag: counted < COUNTED_MOST ? counted : Math.max(counted, entries - pending), pending };
}
