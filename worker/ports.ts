/** What a worker needs of the world, and the one that is made of Postgres and Redis. */
import type pg from 'pg';
import { type AppendEvents, awaitStandby } from '../platform/postgres/append.ts';
import { findArchived } from '../platform/postgres/archived.ts';
import { type EventRow, readStreamRows } from '../platform/postgres/read.ts';
import type { RedisClient } from '../platform/redis/connection.ts';
import type { HintBus } from '../platform/redis/hints.ts';
import { publishResults, type ResultEntry } from '../platform/redis/results.ts';
import { createLeaseLedger, type LeaseLedger } from './lease-ledger.ts';
import { createTaskReader, type TaskReader } from './task-entries.ts';

export type WorkerPorts = {
  append: AppendEvents;
  /** Streams as stored, by id; ids without events are absent. */
  readStreams: (promptIds: string[]) => Promise<Map<string, EventRow[]>>;
  /** Of a stream without events: it had ended for good, and has left the log. */
  isArchived: (promptId: string) => Promise<boolean>;
  /** What is in the log by now is wherever it has to be before anybody is told. */
  confirm: () => Promise<void>;
  leases: LeaseLedger;
  tasks: TaskReader;
  /** Outcomes that are on record, to whoever waits for them. */
  tell: (entries: ResultEntry[]) => Promise<void>;
  hints: Pick<HintBus, 'send' | 'on'>;
};

export type PortOptions = {
  /** Unique among live workers: the consumer of the stream's entries. */
  name: string;
  pool: pg.Pool;
  append: AppendEvents;
  redis: RedisClient;
  /** Of this worker alone: it blocks. */
  blockingRedis: RedisClient;
  hints: HintBus;
  tasksStream: string;
  resultsStream: string;
  resultsMaxLength: number;
};

export function connectPorts(options: PortOptions): WorkerPorts {
  const { pool, redis } = options;
  return {
    append: options.append,
    readStreams: (promptIds) => readStreamRows(pool, promptIds),
    isArchived: async (promptId) => (await findArchived(pool, promptId)) !== null,
    confirm: () => awaitStandby(pool),
    leases: createLeaseLedger(pool),
    tasks: createTaskReader(redis, options.blockingRedis, options.tasksStream, options.name),
    tell: (entries) => publishResults(redis, options.resultsStream, entries, options.resultsMaxLength),
    hints: options.hints,
  };
}
