/** The `tasks` stream as the relay sees it: ids of open work, at most a few per free slot, never prompt text. */
import { readFileSync } from 'node:fs';
import { attr, own } from '../telemetry/conventions.ts';
import { sendOf } from '../telemetry/shapes.ts';
import { beginSends, errorType } from '../telemetry/spans.ts';
import type { RedisClient } from './connection.ts';
import { fieldsOf } from './info-fields.ts';

const PUBLISH = readFileSync(new URL('scripts/publish-tasks.lua', import.meta.url), 'utf8');
const REMOVE_UNREADABLE = readFileSync(new URL('scripts/remove-unreadable-tasks.lua', import.meta.url), 'utf8');
const REMOVE_IDLE = readFileSync(new URL('scripts/remove-idle-consumers.lua', import.meta.url), 'utf8');
const FIND_LOST = readFileSync(new URL('scripts/find-lost-tasks.lua', import.meta.url), 'utf8');

export const WORKERS_GROUP = 'workers';

export type TaskEntry = { dispatch: number; promptId: string; lane: string; model: string; traceparent: string | null };
/** In the place of a last id: somebody put something else under the stream's name. No stream ever has this one. */
export const NO_STREAM = 'no stream';
export type StreamState = { lastId: string; lastDelivered: number };

export type TaskStream = {
  /** Refused (`false`) unless the stream's last id is `expectedLastId`; then nothing was added. */
  publish: (entries: TaskEntry[], expectedLastId: string) => Promise<{ published: boolean; lastId: string }>;
  /** An absent stream is `0-0`, a key that is no stream `NO_STREAM`; an absent group has delivered nothing. */
  state: () => Promise<StreamState>;
  /** Those of the dispatch numbers that nobody will ever be given. */
  findLost: (dispatches: number[]) => Promise<number[]>;
  /** Takes away entries that nobody will ever be given (at most `limit` are looked at); how many. */
  removeUnreadable: (limit: number) => Promise<number>;
  /** Consumers of workers that are gone: silent for so long, nothing pending; how many. */
  removeIdleConsumers: (idleMs: number) => Promise<number>;
  /** For a stream whose ids cannot be carried on (a foreign entry from far ahead), or a key that is none. */
  remove: () => Promise<void>;
};

export function createTaskStream(redis: RedisClient, key: string): TaskStream {
  async function add(entries: TaskEntry[], expectedLastId: string): Promise<{ published: boolean; lastId: string }> {
    const args = entries.flatMap((entry) => [
      entry.dispatch,
      entry.promptId,
      entry.lane,
      entry.model,
      entry.traceparent ?? '',
    ]);
    const [added, lastId] = (await redis.eval(PUBLISH, 1, key, WORKERS_GROUP, expectedLastId, ...args)) as [
      number,
      string,
    ];
    return { published: added === 1, lastId };
  }

  return {
    publish: async (entries, expectedLastId) => {
      const sends = beginSends(entries, ({ dispatch, promptId }) =>
        sendOf(key, { [attr.messagingMessageId]: idOf(dispatch), [own.promptId]: promptId }),
      );
      try {
        const answer = await add(sends.messages, expectedLastId);
        sends.end(answer.published ? undefined : 'stream_changed');
        return answer;
      } catch (error) {
        sends.end(errorType(error));
        throw error;
      }
    },
    state: async () => {
      const answers = await redis.pipeline().call('XINFO', 'STREAM', key).call('XINFO', 'GROUPS', key).exec();
      const [[streamError, stream] = [], [groupError, groups] = []] = answers ?? [];
      if (streamError?.message.startsWith('WRONGTYPE')) return { lastId: NO_STREAM, lastDelivered: 0 };
      const failure = [streamError, groupError].find((error) => error && !/no such key/.test(error.message));
      if (failure) throw failure;
      const lastId = streamError ? '0-0' : (fieldsOf(stream).get('last-generated-id') ?? '0-0');
      const group = groupError
        ? undefined
        : (groups as unknown[]).map(fieldsOf).find((g) => g.get('name') === WORKERS_GROUP);
      return { lastId, lastDelivered: numberOf(group?.get('last-delivered-id') ?? '0-0') };
    },
    findLost: async (dispatches) => {
      const lost = (await redis.eval(FIND_LOST, 1, key, WORKERS_GROUP, ...dispatches)) as string[];
      return lost.map(Number);
    },
    removeUnreadable: async (limit) => (await redis.eval(REMOVE_UNREADABLE, 1, key, WORKERS_GROUP, limit)) as number,
    removeIdleConsumers: (idleMs) => removeIdleConsumers(redis, key, WORKERS_GROUP, idleMs),
    remove: async () => {
      await redis.del(key);
    },
  };
}

/** Of one name, or of any; those with entries pending stay. */
export const removeIdleConsumers = async (
  redis: RedisClient,
  stream: string,
  group: string,
  idleMs: number,
  name = '',
): Promise<number> => (await redis.eval(REMOVE_IDLE, 1, stream, group, idleMs, name)) as number;

const idOf = (dispatch: number): string => `${dispatch}-0`;
/** The dispatch number in an entry id `<n>-0`. */
export const numberOf = (id: string): number => Number(id.split('-')[0]);
