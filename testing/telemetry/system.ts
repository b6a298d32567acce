/**
 * The services as processes of their own on private servers, with users, a collector and the gateway. Two workers: what one
 * answers is marked as emulated, what the other answers costs. The gateway finds no query-api, and answers for it.
 */
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import pg from 'pg';
import { type Client, createClient } from '../../client/client.ts';
import { freePort } from '../../deployment/local/servers/free-port.ts';
import { createKey } from '../../platform/postgres/api-keys.ts';
import { programOf } from '../docker/tools.ts';
import { type Emulator, startEmulator } from '../emulator/emulator.ts';
import { type Collector, startCollector } from '../kit/collector.ts';
import { type After, createTestDatabase } from '../kit/database.ts';
import { runProgram, type Service, startService } from '../kit/process.ts';
import { createTestRedis } from '../kit/redis.ts';
import { startTestServers } from '../kit/servers.ts';
import { until } from '../kit/until.ts';
import { startCollectorMetrics } from './collector-metrics.ts';
import type { Job } from './prometheus.ts';
import { startRealProvider } from './real-provider.ts';

export const SERVICES = ['command-api', 'query-api', 'worker', 'projector'] as const;
/** Five processes at once, on a machine that may have two cores and other work. */
const READY_MS = 60_000;
export type User = { key: string; commands: Client; queries: Client };

export type System = {
  services: Record<(typeof SERVICES)[number], Service>;
  /** The one of `services` first. */
  workers: Service[];
  /** Address of its entry. */
  gateway: string;
  jobs: Job[];
  collector: Collector;
  /** Of the emulated provider: which calls it was asked for. */
  billing: Emulator['billing'];
  /** As the owner, who may do what no service may. */
  database: pg.Pool;
  redis: Redis;
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
    NUMBER_OF_WORKERS: '8',
    LEASE_SECONDS: '3',
    RETRY_BASE_SECONDS: '0.2',
    RETRY_CAP_SECONDS: '1',
  };
  const [second, ...started] = await Promise.all([
    startService(t, 'worker', { ...env, GEMINI_BASE_URL: await startRealProvider(t, emulator.url) }, READY_MS),
    ...SERVICES.map((name) => startService(t, name, env, READY_MS)),
  ]);
  const services = Object.fromEntries(SERVICES.map((name, i) => [name, started[i]])) as System['services'];
  const workers = [services.worker, second];
  const gateway = await startGateway(t, root, services['command-api'].port);
  const jobs: Job[] = [
    ...SERVICES.map((name) => ({ name, ports: [services[name].adminPort], marked: false })),
    { name: 'gateway', ports: [gateway.metricsPort], marked: true },
    { name: 'otel-collector', ports: [await startCollectorMetrics(t)], marked: true },
  ];
  jobs.find(({ name }) => name === 'worker')!.ports.push(second.adminPort);

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
  const { pool } = database;
  return {
    services,
    workers,
    gateway: gateway.address,
    jobs,
    collector,
    billing: emulator.billing,
    database: pool,
    redis: redis.client,
    users,
    reader,
  };
}

async function startGateway(
  t: After,
  root: string,
  commandApi: number,
): Promise<{ address: string; metricsPort: number }> {
  const [haproxy, ...leading] = programOf('haproxy');
  const [entry, metricsPort, nobody] = [await freePort(), await freePort(), await freePort()];
  const running = runProgram(t, haproxy, [...leading, '-f', join(root, 'deployment/docker/haproxy.cfg')], {
    GATEWAY_ENTRY: `127.0.0.1:${entry}`,
    GATEWAY_MAXCONN: '1000',
    GATEWAY_METRICS: `127.0.0.1:${metricsPort}`,
    GATEWAY_COMMAND_API: `127.0.0.1:${commandApi}`,
    GATEWAY_QUERY_API: `127.0.0.1:${nobody}`,
  });
  const address = `http://127.0.0.1:${entry}`;
  await until(
    `the gateway answers: ${running.said()}`,
    async () => (await fetch(`${address}/ask`, { method: 'POST' }).catch(() => null))?.status === 401,
  );
  return { address, metricsPort };
}
