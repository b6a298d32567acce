/** A private Redis on a free loopback port. It only delivers, so nothing of it is kept. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { answersPing } from '../../../platform/redis/connection.ts';
import { keptSecret } from './data-dir.ts';
import { freePort } from './free-port.ts';
import type { RunningServer } from './postgres.ts';
import { findRedis } from './redis-binary.ts';
import { forget, launch, recall, remember, type ServerRecord, stopServer, untilAnswering } from './server-process.ts';
import { StartError } from './start-error.ts';

export type RedisOptions = {
  dataDir: string;
  /** Where fetched packages are kept. */
  cacheDir: string;
  /** Logical databases; tests take one per file. */
  databases?: number;
};

export async function startRedis(options: RedisOptions): Promise<RunningServer> {
  const { dataDir } = options;
  const folder = join(dataDir, 'redis');
  const logFile = join(dataDir, 'redis.log');
  const recordFile = join(dataDir, 'redis.json');
  const password = keptSecret(dataDir, 'redis-password');
  const uriOf = (port: number) => `redis://:${password}@127.0.0.1:${port}`;

  const running = (server: ServerRecord, adopted: boolean): RunningServer => ({
    uri: uriOf(server.port),
    port: server.port,
    pid: server.pid,
    adopted,
    stop: async () => {
      await stopServer(server, 'SIGTERM', 3_000);
      forget(recordFile);
    },
  });

  const left = recall(recordFile);
  if (left) {
    if (await untilAnswering(left, () => answers(uriOf(left.port)), 2_000)) return running(left, true);
    await stopServer(left, 'SIGTERM', 2_000);
  }
  forget(recordFile);

  const binary = findRedis(options.cacheDir);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const port = await freePort();
  // In a file: on the command line every user of the machine could read the password.
  const config = join(folder, 'redis.conf');
  const lines = [
    `bind 127.0.0.1`,
    `port ${port}`,
    `requirepass ${password}`,
    `dir "${folder}"`,
    `databases ${options.databases ?? 16}`,
    'save ""',
    'appendonly no',
    'maxmemory-policy noeviction',
    'daemonize no',
  ];
  writeFileSync(config, `${lines.join('\n')}\n`, { mode: 0o600 });
  let server: ServerRecord;
  try {
    server = { ...(await launch({ ...binary, cwd: folder }, [config], logFile)), port };
  } catch (error) {
    throw new StartError(`Redis could not be started: ${(error as Error).message}. Its log is ${logFile}.`);
  }
  remember(recordFile, server);
  if (!(await untilAnswering(server, () => answers(uriOf(port)), 15_000))) {
    await stopServer(server, 'SIGTERM', 2_000);
    throw new StartError(`Redis did not come up: see the end of ${logFile}.`);
  }
  return running(server, false);
}

/** Not yet, or not ours: the caller waits or gives up. */
const answers = (uri: string): Promise<boolean> => answersPing(uri, 1_000);
