/** The whole system in this process, on a database and a Redis of its own, listening on a free port. */
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Client, createClient } from '../../client/client.ts';
import { type ServicesOptions, startServices } from '../../deployment/local/services.ts';
import { connectService } from '../../platform/boot.ts';
import { loadConfig } from '../../platform/config/load.ts';
import { createLifecycle } from '../../platform/lifecycle.ts';
import { createKey, type Role } from '../../platform/postgres/api-keys.ts';
import { openServedModels } from '../../platform/prices/served-models.ts';
import { createLogger } from '../../platform/telemetry/logging.ts';
import { createMetrics } from '../../platform/telemetry/metrics.ts';
import { createGeminiProvider } from '../../worker/providers/gemini/gemini.ts';
import { type Emulator, startEmulator } from '../emulator/emulator.ts';
import { type After, createTestDatabase, type TestDatabase } from './database.ts';
import { createTestRedis, type TestRedis } from './redis.ts';

export type { Client } from '../../client/client.ts';
export type { Outcome, Provider } from '../../worker/providers/provider.ts';

export type TestStack = {
  address: string;
  database: TestDatabase;
  redis: TestRedis;
  emulator: Emulator;
  /** Makes a key; the answer is the key itself. */
  key: (userId: string, role?: Role) => Promise<string>;
  client: (userId: string, role?: Role) => Promise<Client>;
  stop: () => Promise<void>;
};

export type TestStackOptions = Partial<
  Pick<ServicesOptions, 'provider' | 'archiveDir' | 'headersTimeoutMs' | 'requestTimeoutMs' | 'pingMs' | 'budget'>
> & {
  /** Variables of the environment, e.g. `{ LEASE_SECONDS: '0.5' }`. */
  env?: Record<string, string>;
  /** Share those of another stack: two of every service. */
  database?: TestDatabase;
  redis?: TestRedis;
};

export async function startTestStack(t: After, options: TestStackOptions = {}): Promise<TestStack> {
  const database = options.database ?? (await createTestDatabase(t));
  const redis = options.redis ?? (await createTestRedis(t));
  const config = loadConfig('embedded', { PORT: '0', LOG_LEVEL: 'silent', CACHE_TTL_MINUTES: '5', ...options.env });
  const logger = createLogger({ service: 'test', level: config.LOG_LEVEL });
  const lifecycle = createLifecycle({ graceSeconds: 20, logger });
  const stop = async () => void (await lifecycle.stop());
  t.after(stop);
  const emulator = await startEmulator();
  lifecycle.push('emulator', emulator.close);
  const metrics = createMetrics('test');
  const booted = await connectService({
    service: 'embedded',
    config,
    postgresUri: database.uri,
    redisUri: redis.uri,
    logger,
    lifecycle,
    metrics,
  });
  const {
    provider = createGeminiProvider({ apiKey: 'test', baseUrl: emulator.url, emulated: true, now: () => new Date() }),
    env: _env,
    database: _database,
    redis: _redis,
    ...more
  } = options;
  const consoleDir = join(import.meta.dirname, '../../console/dist');
  const server = await startServices({
    booted,
    postgresUri: database.uri,
    served: openServedModels(config),
    provider,
    emulated: true,
    consoleDir,
    version: 'test',
    spoolDir: config.SPOOL_DIR,
    ...more,
  });
  await server.listen({ host: '127.0.0.1', port: 0 });
  lifecycle.push('http', () => server.close());
  const address = `http://127.0.0.1:${(server.server.address() as AddressInfo).port}`;
  const key = async (userId: string, role: Role = 'user') =>
    (await createKey(booted.pool, { userId, role, name: 'test', expiresAt: null })).key;
  return {
    address,
    database,
    redis,
    emulator,
    key,
    client: async (userId, role) => createClient({ baseUrl: address, apiKey: await key(userId, role) }),
    stop,
  };
}
