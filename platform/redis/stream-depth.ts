/** How much lies in a stream, and how far a consumer group is. */
import type { RedisClient } from './connection.ts';
import { fieldsOf } from './info-fields.ts';

export type StreamDepth = {
  entries: number;
  /** Not given to any consumer yet; null when Redis cannot tell, as after an entry was deleted before it was given. */
  lag: number | null;
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
  const lag = found.get('lag');
  return { entries, lag: lag === undefined ? null : Number(lag), pending: Number(found.get('pending')) };
}
