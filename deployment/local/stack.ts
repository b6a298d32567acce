/** All four services in one process behind one port, with their servers: what `npm start` runs. */

import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connectService } from '../../platform/boot.ts';
import type { Config } from '../../platform/config/load.ts';
import { removeStackFile, writeStackFile } from '../../platform/config/stack-file.ts';
import { startAdmin } from '../../platform/http/admin.ts';
import type { Lifecycle } from '../../platform/lifecycle.ts';
import { applyMigrations } from '../../platform/postgres/migrate.ts';
import { refusalOf } from '../../platform/postgres/refused-login.ts';
import { isConnectionLoss } from '../../platform/postgres/sqlstate.ts';
import { readiness } from '../../platform/readiness.ts';
import type { createLogger } from '../../platform/telemetry/logging.ts';
import { createMetrics } from '../../platform/telemetry/metrics.ts';
import { startEmulator } from '../../testing/emulator/emulator.ts';
import { createGeminiProvider } from '../../worker/providers/gemini/gemini.ts';
import { ensureKeyFile } from './key-file.ts';
import { ownServers } from './servers/own-servers.ts';
import { StartError } from './servers/start-error.ts';
import { type ServicesOptions, startServices } from './services.ts';

export type Stack = { address: string; adminAddress: string; keyFile: string; emulated: boolean };

export type StackOptions = {
  config: Config;
  served: ServicesOptions['served'];
  projectDir: string;
  /** Prepared and locked. */
  dataDir: string;
  lifecycle: Lifecycle;
  logger: ReturnType<typeof createLogger>;
  version: string;
};

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

export async function startStack(options: StackOptions): Promise<Stack> {
  const { config, dataDir, lifecycle, logger, projectDir, served } = options;
  const servers = await ownServers({
    dataDir,
    projectDir,
    postgresUri: config.POSTGRES_URI,
    redisUri: config.REDIS_URI,
    lifecycle,
  });
  const { postgresUri, redisUri } = servers;
  try {
    await applyMigrations(postgresUri, join(projectDir, 'migrations'));
  } catch (error) {
    const refusal = refusalOf('POSTGRES_URI', error);
    if (refusal) throw new StartError(refusal);
    if (!isConnectionLoss(error)) throw error;
    throw new StartError(
      `PostgreSQL at ${new URL(postgresUri).host} cannot be reached (${codeOf(error)}): is POSTGRES_URI right?`,
    );
  }
  const metrics = createMetrics(config.APP_ID);
  const booted = await connectService({
    service: 'embedded',
    config,
    postgresUri,
    redisUri,
    logger,
    lifecycle,
    metrics,
    poolSize: 16,
  });
  const keyFile = await ensureKeyFile(dataDir, booted.pool);
  const emulator = config.GEMINI_API_KEY ? null : await startEmulator();
  if (emulator) lifecycle.push('emulator', emulator.close);
  const provider = createGeminiProvider({
    apiKey: config.GEMINI_API_KEY ?? 'emulated',
    ...(emulator
      ? { baseUrl: emulator.url, emulated: true }
      : config.GEMINI_BASE_URL && { baseUrl: config.GEMINI_BASE_URL }),
    now: () => new Date(),
  });
  const server = await startServices({
    booted,
    postgresUri,
    served,
    provider,
    emulated: emulator !== null,
    consoleDir: join(projectDir, 'console/dist'),
    version: options.version,
    spoolDir: config.SPOOL_DIR ?? join(dataDir, 'spool'),
    archiveDir: config.ARCHIVE_DIR ?? join(dataDir, 'archive'),
  });
  try {
    await server.listen({ host: config.HOST, port: config.PORT });
  } catch (error) {
    throw new StartError(
      codeOf(error) === 'EADDRINUSE'
        ? `Port ${config.PORT} on ${config.HOST} is taken: stop what listens there, or set PORT to another one (0 takes a free one).`
        : `Nobody can listen on ${config.HOST}, port ${config.PORT} (${codeOf(error)}): set HOST and PORT to an address of this machine.`,
    );
  }
  lifecycle.push('http', () => server.close());

  const admin = await startAdmin({
    host: config.HOST,
    port: config.ADMIN_PORT,
    registry: metrics.registry,
    ready: readiness(booted),
  });
  lifecycle.push('admin', admin.close);

  const { port } = server.server.address() as AddressInfo;
  const host = config.HOST === '0.0.0.0' ? '127.0.0.1' : config.HOST;
  const address = `http://${host}:${port}`;
  writeStackFile(dataDir, { address, postgresUri, redisUri, pid: process.pid });
  lifecycle.push('stack file', () => removeStackFile(dataDir));
  return { address, adminAddress: `http://${host}:${admin.port}`, keyFile, emulated: emulator !== null };
}
