/** The four services as processes of their own on private servers, with users, an emulated provider and a collector. */
import pg from 'pg';
import { type Client, createClient } from '../../client/client.ts';
import { createKey } from '../../platform/postgres/api-keys.ts';
import { startEmulator } from '../emulator/emulator.ts';
import { type Collector, startCollector } from '../kit/collector.ts';
import { type After, createTestDatabase } from '../kit/database.ts';
import { type Service, startService } from '../kit/process.ts';
import { createTestRedis } from '../kit/redis.ts';
import { startTestServers } from '../kit/servers.ts';

export const SERVICES = ['command-api', 'query-api', 'worker', 'projector'] as const;
export type User = { key: string; commands: Client; queries: Client };

export type System = {
  services: Record<(typeof SERVICES)[number], Service>;
  collector: Collector;
  /** The first is an admin. */
  users: User[];
  /** A login that may read what dashboards may. */
  reader: pg.Pool;
};

export async function startSystem(t: After, root: string): Promise<System> {
  const servers = await startTestServers(root);
  t.after(servers.stop);
  Object.assign(process.env, { TEST_POSTGRES_URI: servers.postgresUri, TEST_REDIS_URI: servers.redisUri });
  const database = await createTestDatabase(t);
  const redis = await createTestRedis(t);
  const emulator = await startEmulator();
  t.after(emulator.close);
  const collector = await startCollector(t);
  const env = {
    POSTGRES_URI: database.uri,
    REDIS_URI: redis.uri,
    JAEGER_URI: collector.address,
    GEMINI_API_KEY: 'emulated',
    GEMINI_BASE_URL: emulator.url,
    NUMBER_OF_WORKERS: '16',
  };
  const started = await Promise.all(SERVICES.map(async (name) => [name, await startService(t, name, env)] as const));
  const services = Object.fromEntries(started) as System['services'];

  const users = await Promise.all(
    (['admin', 'user', 'user'] as const).map(async (role, i): Promise<User> => {
      const { key } = await createKey(database.pool, { userId: `user-${i}`, role, name: 'load', expiresAt: null });
      const clientOf = (port: number) => createClient({ baseUrl: `http://127.0.0.1:${port}`, apiKey: key });
      return { key, commands: clientOf(services['command-api'].port), queries: clientOf(services['query-api'].port) };
    }),
  );

  await database.pool.query("CREATE ROLE dashboards LOGIN PASSWORD 'dashboards' IN ROLE prompt_dashboards");
  const uri = new URL(database.uri);
  uri.username = 'dashboards';
  uri.password = 'dashboards';
  const reader = new pg.Pool({ connectionString: uri.href, max: 2, options: '-c timezone=UTC' });
  t.after(() => reader.end());
  return { services, collector, users, reader };
}
