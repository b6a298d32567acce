/** Whether a process is ready, as its servers answer. */
import type pg from 'pg';
import type { Readiness } from './http/admin.ts';
import type { RedisClient } from './redis/connection.ts';
import { ANSWER_WITHIN_MS, within } from './within.ts';

type Db = Pick<pg.Pool, 'query'>;

export type Servers = {
  pool: Db;
  /** By purpose: those to another server than the primary. */
  replicas: ReadonlyMap<string, Db>;
  redis: Pick<RedisClient, 'ping'>;
  /** Why there is no connection to Redis now; its commands say only that they gave up. */
  redisFault: () => Error | null;
  /** The process was told to stop. */
  stopping?: AbortSignal;
};

const answers = (db: Db): Promise<unknown> => db.query('SELECT 1');

/**
 * Postgres and Redis answer, and nobody told the process to stop. A replica that is away makes nobody less ready: the primary
 * answers in its place, and it is told.
 */
export function readiness(
  servers: Servers,
  /** What of Postgres is waited for. */
  ask: (db: Db) => Promise<unknown> = answers,
): () => Promise<Readiness> {
  return async () => {
    const [postgres, redis, replicas] = await Promise.all([
      check(ask(servers.pool)),
      check(servers.redis.ping(), servers.redisFault),
      Promise.all([...servers.replicas].map(async ([name, pool]) => [name, missable(await check(answers(pool)))])),
    ]);
    const leaving = servers.stopping?.aborted && { stopping: { ok: false, detail: 'the process was told to stop' } };
    return { postgres, redis, ...Object.fromEntries(replicas), ...leaving };
  };
}

const missable = ({ ok, detail }: Readiness[string]): Readiness[string] =>
  ok ? { ok } : { ok: true, detail: `away, the primary answers in its place: ${detail}` };

async function check(answer: Promise<unknown>, fault: () => Error | null = () => null): Promise<Readiness[string]> {
  try {
    await within(ANSWER_WITHIN_MS, answer);
    return { ok: true };
  } catch (error) {
    return { ok: false, detail: wordsOf(fault() ?? error) };
  }
}

/** What an error says; one that stands for several, as of a name with two addresses, has no words of its own. */
export function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { errors = [], lastNodeError } = error as { errors?: unknown[]; lastNodeError?: unknown };
  const words = [error.message, ...[...errors, ...(lastNodeError ? [lastNodeError] : [])].map(wordsOf)];
  return words.filter((said) => said !== '').join('; ') || error.name;
}
