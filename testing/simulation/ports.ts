import { createDispatchLedger, type DispatchLedger } from '../../command-api/relay/dispatch-ledger.ts';
import { submission } from '../../contracts/prompt/spec.ts';
import { newId } from '../../platform/ids.ts';
import { type Append, type AppendResult, appendCall, encodeAppend } from '../../platform/postgres/append.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { connectRedis } from '../../platform/redis/connection.ts';
import { createTaskStream, type TaskStream } from '../../platform/redis/tasks.ts';
import { parseRedisUri } from '../../platform/redis/uri.ts';
import { createProjectionStore, type ProjectionStore } from '../../projector/projection-store.ts';
import { createLeaseLedger, type LeaseLedger } from '../../worker/lease-ledger.ts';
import { createTaskReader, type TaskReader } from '../../worker/task-entries.ts';
import type { cleanup } from '../kit/cleanup.ts';
import { createTestDatabase } from '../kit/database.ts';
import { createTestRedis } from '../kit/redis.ts';
import { createDatabase } from './memory/database.ts';
import { memoryDispatchLedger, memoryLeaseLedger } from './memory/ledgers.ts';
import { createProjection, memoryProjectionStore } from './memory/projection.ts';
import { createStream, memoryTaskReader, memoryTaskStream } from './memory/stream.ts';

export type Ports = {
  append: (append: Append) => Promise<AppendResult>;
  dispatch: DispatchLedger;
  leases: LeaseLedger;
  projection: ProjectionStore;
  /** A stream of its own for every test. */
  stream: () => {
    tasks: TaskStream;
    reader: (consumer: string) => TaskReader;
    destroyGroup: () => Promise<void>;
    deleteConsumer: (name: string) => Promise<void>;
    consumers: () => Promise<string[]>;
    addForeign: () => Promise<void>;
  };
};

export async function inMemory(): Promise<Ports> {
  const db = createDatabase(() => Date.now());
  db.startedAt -= 3_600_000;
  return {
    append: async (append) => db.append(append),
    dispatch: memoryDispatchLedger(db),
    leases: memoryLeaseLedger(db),
    projection: memoryProjectionStore(db, createProjection()),
    stream: () => {
      const stream = createStream(() => Date.now());
      return {
        tasks: memoryTaskStream(stream),
        reader: (consumer) => memoryTaskReader(stream, consumer, async () => {}),
        destroyGroup: async () => stream.destroyGroup(),
        deleteConsumer: async (consumer) => stream.deleteConsumer(consumer),
        consumers: async () => [...(stream.group?.consumers.keys() ?? [])].sort(),
        addForeign: async () => stream.addForeign({}),
      };
    },
  };
}

export async function onServers(t: ReturnType<typeof cleanup>): Promise<Ports> {
  const database = await createTestDatabase(t);
  const redis = await createTestRedis(t);
  const pool = createPool({ uri: database.uri, name: 'conformance', max: 4, onError: () => {} });
  t.after(() => pool.end());
  const connect = () => {
    const client = connectRedis(parseRedisUri(redis.uri), { name: 'conformance', onError: () => {} });
    t.after(async () => client.disconnect());
    return client;
  };
  const [commands, blocking] = [connect(), connect()];
  let streams = 0;
  return {
    append: async (append) => (await appendCall(pool, [encodeAppend(append)]))[0]!,
    dispatch: createDispatchLedger(async (statement) => (await pool.query(statement)).rows),
    leases: createLeaseLedger(pool),
    projection: createProjectionStore(pool, 1),
    stream: () => {
      streams += 1;
      const name = `tasks-${streams}`;
      return {
        tasks: createTaskStream(commands, name),
        reader: (consumer) => createTaskReader(commands, blocking, name, consumer),
        destroyGroup: async () => void (await redis.client.xgroup('DESTROY', name, 'workers')),
        deleteConsumer: async (consumer) => void (await redis.client.xgroup('DELCONSUMER', name, 'workers', consumer)),
        consumers: async () => {
          const found = (await redis.client.xinfo('CONSUMERS', name, 'workers')) as [string, string][];
          return found.map(([, consumer]) => consumer).sort();
        },
        addForeign: async () => {
          const last = (await createTaskStream(commands, name).state()).lastId;
          await redis.client.call('XADD', name, `${Number(last.split('-')[0]) + 1}-0`, 'junk', 'x');
        },
      };
    },
  };
}

export const metadata = { correlationId: 'c', causationId: 'cause', traceparent: null, actor: 'user:ada' };
export const submitted = (userId: string, over: object = {}) => ({
  eventId: newId(),
  type: 'PromptSubmitted' as const,
  data: { ...submission, userId, ...over },
  metadata,
});
export const started = (attempt: number) => ({
  eventId: newId(),
  type: 'AttemptStarted' as const,
  data: {
    userId: 'ada',
    model: 'm',
    submittedAt: '2026-05-01T00:00:00.000Z',
    attempt,
    token: newId(),
    generation: 0,
    worker: 'w',
    boundNanoUsd: 5,
    priceVersion: 'p',
  },
  metadata,
});
export const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();
export const status = (result: AppendResult) => (result.status === 'conflict' ? result.reason : result.status);
