/** The worker's side of the `tasks` stream: read, take over, acknowledge. */

import { isUuid } from '../platform/ids.ts';
import type { RedisClient } from '../platform/redis/connection.ts';
import { numberOf, removeIdleConsumers, WORKERS_GROUP } from '../platform/redis/tasks.ts';

export type Task = { entryId: string; dispatch: number; promptId: string; traceparent: string | null };
/** An entry that no relay of ours wrote. */
export type ForeignEntry = { entryId: string; foreign: true };

export type TaskReader = {
  /** Blocks up to `blockMs`; at most `count` entries. */
  read: (count: number, blockMs: number) => Promise<(Task | ForeignEntry)[]>;
  /** Entries whose reader has been silent for `idleMs`. */
  takeOver: (count: number, idleMs: number) => Promise<(Task | ForeignEntry)[]>;
  /** Keeps the entries of live attempts from being taken over; a matter of saved work only. */
  touch: (entryIds: string[]) => Promise<void>;
  acknowledge: (entryIds: string[]) => Promise<void>;
  /** This consumer is gone for good; one with entries pending stays, until they are taken over. */
  leave: () => Promise<void>;
};

type RawEntry = [id: string, fields: string[] | null];

export function createTaskReader(
  redis: RedisClient,
  blocking: RedisClient,
  stream: string,
  consumer: string,
): TaskReader {
  let cursor = '0-0';

  /** Groups are made from 0: from `$`, entries added before it was re-created would be skipped. */
  async function withGroup<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (!isGroupMissing(error)) throw error;
      await ensureGroup();
      return await call();
    }
  }

  async function ensureGroup(): Promise<void> {
    try {
      await redis.xgroup('CREATE', stream, WORKERS_GROUP, '0', 'MKSTREAM');
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('BUSYGROUP'))) throw error;
    }
  }

  return {
    read: async (count, blockMs) => {
      const answer = await withGroup(() =>
        blocking.xreadgroup('GROUP', WORKERS_GROUP, consumer, 'COUNT', count, 'BLOCK', blockMs, 'STREAMS', stream, '>'),
      );
      const [first] = (answer ?? []) as [string, RawEntry[]][];
      return (first?.[1] ?? []).map(toTask);
    },
    takeOver: async (count, idleMs) => {
      const [next, entries] = (await withGroup(() =>
        redis.xautoclaim(stream, WORKERS_GROUP, consumer, idleMs, cursor, 'COUNT', count),
      )) as [string, RawEntry[]];
      cursor = next;
      return entries.map(toTask);
    },
    touch: async (entryIds) => {
      if (entryIds.length === 0) return;
      await redis.call('XCLAIM', stream, WORKERS_GROUP, consumer, '0', ...entryIds, 'JUSTID');
    },
    acknowledge: async (entryIds) => {
      if (entryIds.length === 0) return;
      const answers = await redis
        .pipeline()
        .xack(stream, WORKERS_GROUP, ...entryIds)
        .xdel(stream, ...entryIds)
        .exec();
      const failed = answers?.find(([error]) => error);
      if (failed?.[0]) throw failed[0];
    },
    leave: async () => void (await removeIdleConsumers(redis, stream, WORKERS_GROUP, 0, consumer)),
  };
}

function isGroupMissing(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // NOGROUP: the group is gone; UNBLOCKED: the stream went while we waited on it.
  return /^(NOGROUP|UNBLOCKED)/.test(error.message);
}

function toTask([entryId, flat]: RawEntry): Task | ForeignEntry {
  const fields = new Map<string, string>();
  for (let i = 0; flat && i + 1 < flat.length; i += 2) fields.set(flat[i]!, flat[i + 1]!);
  const promptId = fields.get('promptId') ?? '';
  if (!isUuid(promptId) || !entryId.endsWith('-0')) return { entryId, foreign: true };
  return { entryId, dispatch: numberOf(entryId), promptId, traceparent: fields.get('traceparent') || null };
}
