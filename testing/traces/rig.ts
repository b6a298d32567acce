/** Services as processes of their own that send their spans somewhere, and prompts asked of them. */
import assert from 'node:assert/strict';
import { createKey } from '../../platform/postgres/api-keys.ts';
import { createTestDatabase, type TestDatabase } from '../kit/database.ts';
import { type Service, startService } from '../kit/process.ts';
import { createTestRedis, type TestRedis } from '../kit/redis.ts';

type After = Parameters<typeof startService>[0];

export type Rig = {
  database: TestDatabase;
  redis: TestRedis;
  key: string;
  start: (service: string, env: Record<string, string>) => Promise<Service>;
  post: (port: number, path: string, body: object | undefined, traceparent?: string) => Promise<{ id: string }>;
  ask: (port: number, traceparent?: string, prompt?: object) => Promise<string>;
  /** Of each event of a prompt, in order. */
  traceparents: (id: string) => Promise<(string | null)[]>;
};

export async function createRig(t: After): Promise<Rig> {
  const database = await createTestDatabase(t);
  const redis = await createTestRedis(t);
  const { key } = await createKey(database.pool, { userId: 'ada', role: 'admin', name: 'test', expiresAt: null });
  const post: Rig['post'] = async (port, path, body, traceparent) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${key}`,
        ...(body && { 'content-type': 'application/json' }),
        ...(traceparent && { traceparent }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    assert.equal(response.status, 202, await response.clone().text());
    return (await response.json()) as { id: string };
  };
  return {
    database,
    redis,
    key,
    start: (service, env) =>
      startService(t, service, {
        POSTGRES_URI: database.uri,
        REDIS_URI: redis.uri,
        OTEL_BSP_SCHEDULE_DELAY: '100',
        ...env,
      }),
    post,
    ask: async (port, traceparent, prompt = {}) =>
      (await post(port, '/ask', { prompt: 'follow me', model: 'gemini-2.5-flash', ...prompt }, traceparent)).id,
    traceparents: async (id) => {
      const text = "SELECT metadata ->> 'traceparent' AS traceparent FROM event WHERE stream_id = $1 ORDER BY version";
      const { rows } = await database.pool.query<{ traceparent: string | null }>(text, [id]);
      return rows.map(({ traceparent }) => traceparent);
    },
  };
}

/** A caller's context: `character` makes it this one's own. */
export function callerOf(character: string, flags: '00' | '01') {
  const [trace, caller] = [`${character.repeat(31)}1`, character.repeat(16)];
  return { trace, caller, traceparent: `00-${trace}-${caller}-${flags}` };
}
