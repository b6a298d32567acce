/** What the routes are built from. */
import type pg from 'pg';
import type { VerifyKey } from '../platform/postgres/api-keys.ts';
import type { RedisClient } from '../platform/redis/connection.ts';
import type { HintBus } from '../platform/redis/hints.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import type { Feed } from './feed/feed.ts';
import type { Cache } from './read-models/cache.ts';
import type { LiveModel } from './read-models/live-model.ts';
import type { PromptReader } from './read-models/prompt-reader.ts';
import type { ReadPool } from './read-models/reads.ts';
import type { ServedModel } from './routes/models.ts';

export type QueryLogger = Record<'info' | 'warn' | 'error', (fields: object, message: string) => void>;

export type QueryApiOptions = {
  /** For reads; null: they go to the primary's pool. */
  replica: { pool: pg.Pool; inItsPlace: pg.Pool } | null;
  /** For streams and keys, where a replica would be too late. */
  primaryPool: pg.Pool;
  redis: RedisClient;
  hints: Pick<HintBus, 'on'>;
  verifyKey: VerifyKey;
  models: ServedModel[];
  defaultModel: string;
  priceVersion: string;
  /** 0 turns the cache off. */
  cacheTtlMinutes: number;
  logger: QueryLogger;
  metrics?: Metrics;
  /** Folder of the console's files; without it `/` is not served. */
  consoleDir?: string;
  /** Of the live feed's sockets, milliseconds; one that is silent for two of them is ended. */
  pingMs?: number;
};

export type ReadDeps = Pick<QueryApiOptions, 'primaryPool' | 'redis' | 'logger'> & {
  /** For reads; may be a replica. */
  pool: ReadPool;
  live: LiveModel;
  reader: PromptReader;
  cache: Cache;
  feed: Feed;
  /** Aborts when the server closes: held requests are answered as things are. */
  closing: AbortSignal;
};
