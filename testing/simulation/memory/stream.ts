/** The `tasks` stream in memory, as Redis keeps it: last id, consumer group, pending lists; and the two ports on it. */
import type { TaskEntry, TaskStream } from '../../../platform/redis/tasks.ts';
import { numberOf } from '../../../platform/redis/tasks.ts';
import type { ForeignEntry, Task, TaskReader } from '../../../worker/task-entries.ts';

type Entry = { id: string; fields: Partial<TaskEntry> };
type Pending = { consumer: string; deliveredAt: number };
type Group = {
  lastDelivered: number;
  pending: Map<string, Pending> /** When they last asked. */;
  consumers: Map<string, number>;
};
const newGroup = (): Group => ({ lastDelivered: 0, pending: new Map(), consumers: new Map() });
const hasPending = ({ pending }: Group, name: string) =>
  [...pending.values()].some(({ consumer }) => consumer === name);

export type MemoryStream = {
  entries: Entry[];
  lastId: string;
  group: Group | null;
  now: () => number;
  /** Blocked readers: rung when something was added. */
  waiting: Set<() => void>;
  /** FLUSHALL, or a restart without a file. */
  wipe: () => void;
  destroyGroup: () => void;
  /** XGROUP DELCONSUMER: what was pending for it is in no list any more. */
  deleteConsumer: (name: string) => void;
  /** Somebody else's entry, after the last one. */
  addForeign: (fields: Partial<TaskEntry>) => void;
};

export function createStream(now: () => number): MemoryStream {
  const stream: MemoryStream = {
    entries: [],
    lastId: '0-0',
    group: null,
    now,
    waiting: new Set(),
    wipe: () => {
      stream.entries = [];
      stream.lastId = '0-0';
      stream.group = null;
    },
    destroyGroup: () => {
      stream.group = null;
    },
    deleteConsumer: (name) => {
      for (const [id, { consumer }] of stream.group?.pending ?? []) {
        if (consumer === name) stream.group?.pending.delete(id);
      }
      stream.group?.consumers.delete(name);
    },
    addForeign: (fields) => {
      stream.lastId = `${numberOf(stream.lastId) + 1}-0`;
      stream.entries.push({ id: stream.lastId, fields });
    },
  };
  return stream;
}

const toTask = ({ id, fields }: Entry): Task | ForeignEntry =>
  fields.promptId
    ? { entryId: id, dispatch: numberOf(id), promptId: fields.promptId, traceparent: fields.traceparent ?? null }
    : { entryId: id, foreign: true };

export function memoryTaskStream(stream: MemoryStream): TaskStream {
  const isLost = (id: string) => {
    const entry = stream.entries.some((one) => one.id === id);
    if (!entry) return true;
    const { group } = stream;
    return group !== null && numberOf(id) <= group.lastDelivered && !group.pending.has(id);
  };
  return {
    publish: async (entries, expectedLastId) => {
      if (stream.lastId !== expectedLastId) return { published: false, lastId: stream.lastId };
      for (const entry of entries) {
        if (entry.dispatch <= numberOf(stream.lastId))
          throw new Error('ERR The ID specified in XADD is equal or smaller');
        stream.lastId = `${entry.dispatch}-0`;
        stream.entries.push({ id: stream.lastId, fields: entry });
      }
      if (expectedLastId === '0-0') stream.group ??= newGroup();
      for (const ring of [...stream.waiting]) ring();
      return { published: true, lastId: stream.lastId };
    },
    state: async () => ({ lastId: stream.lastId, lastDelivered: stream.group?.lastDelivered ?? 0 }),
    findLost: async (dispatches) => dispatches.filter((dispatch) => isLost(`${dispatch}-0`)),
    removeUnreadable: async (limit) => {
      const { group } = stream;
      if (!group) return 0;
      const gone = stream.entries
        .slice(0, limit)
        .filter(({ id }) => numberOf(id) <= group.lastDelivered && !group.pending.has(id));
      stream.entries = stream.entries.filter((entry) => !gone.includes(entry));
      return gone.length;
    },
    removeIdleConsumers: async (idleMs) => {
      const { group } = stream;
      const gone = [...(group?.consumers ?? [])].filter(
        ([name, seenAt]) => stream.now() - seenAt >= idleMs && !hasPending(group!, name),
      );
      for (const [name] of gone) group!.consumers.delete(name);
      return gone.length;
    },
    remove: async () => stream.wipe(),
  };
}

/** `wait` blocks a reader for so long, or until something was added. */
export function memoryTaskReader(
  stream: MemoryStream,
  consumer: string,
  wait: (ms: number) => Promise<void>,
): TaskReader {
  const groupOf = (): Group => {
    stream.group ??= newGroup();
    stream.group.consumers.set(consumer, stream.now());
    return stream.group;
  };
  const deliver = (count: number): (Task | ForeignEntry)[] => {
    const group = groupOf();
    const fresh = stream.entries.filter(({ id }) => numberOf(id) > group.lastDelivered).slice(0, count);
    for (const { id } of fresh) {
      group.lastDelivered = numberOf(id);
      group.pending.set(id, { consumer, deliveredAt: stream.now() });
    }
    return fresh.map(toTask);
  };
  return {
    read: async (count, blockMs) => {
      const found = deliver(count);
      if (found.length > 0) return found;
      await wait(blockMs);
      return deliver(count);
    },
    takeOver: async (count, idleMs) => {
      const group = groupOf();
      const idle = [...group.pending]
        .filter(([, { deliveredAt }]) => stream.now() - deliveredAt >= idleMs)
        .slice(0, count);
      return idle.flatMap(([id, pending]) => {
        const entry = stream.entries.find((one) => one.id === id);
        if (!entry) {
          group.pending.delete(id); // XAUTOCLAIM drops what was deleted
          return [];
        }
        Object.assign(pending, { consumer, deliveredAt: stream.now() });
        return [toTask(entry)];
      });
    },
    touch: async (entryIds) => {
      for (const id of entryIds) {
        const pending = groupOf().pending.get(id);
        if (pending) Object.assign(pending, { consumer, deliveredAt: stream.now() });
      }
    },
    acknowledge: async (entryIds) => {
      for (const id of entryIds) stream.group?.pending.delete(id);
      stream.entries = stream.entries.filter(({ id }) => !entryIds.includes(id));
    },
    leave: async () => {
      if (stream.group && !hasPending(stream.group, consumer)) stream.group.consumers.delete(consumer);
    },
  };
}
