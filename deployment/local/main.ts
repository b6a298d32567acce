/** `npm start`: everything on one machine, one port, with nothing but Node and npm. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import pino from 'pino';
import { ConfigError, loadParts } from '../../platform/config/load.ts';
import { writableFolder } from '../../platform/config/writable-folder.ts';
import { createLifecycle, stopOnSignal } from '../../platform/lifecycle.ts';
import { openServedModels } from '../../platform/prices/served-models.ts';
import { createLogger } from '../../platform/telemetry/logging.ts';
import { stopTracing } from '../../platform/telemetry/shutdown.ts';
import { lockDataDir } from './servers/data-dir.ts';
import { StartError } from './servers/start-error.ts';
import { startStack } from './stack.ts';

const projectDir = join(import.meta.dirname, '../..');
const startedAt = performance.now();

try {
  if (existsSync(join(projectDir, '.env'))) process.loadEnvFile(join(projectDir, '.env'));
  const {
    config,
    made: { dataDir, served },
  } = loadParts('embedded', {
    served: openServedModels,
    dataDir: ({ DATA_DIR }) => writableFolder('DATA_DIR', DATA_DIR),
    spool: ({ SPOOL_DIR }) => SPOOL_DIR && writableFolder('SPOOL_DIR', SPOOL_DIR),
  });
  const lock = lockDataDir(dataDir);
  const logFile = join(dataDir, 'services.log');
  const destination = pino.destination({ dest: logFile, sync: false, mode: 0o600 });
  await once(destination, 'ready'); // an exit before it is open would throw
  const logger = createLogger({ service: config.APP_ID, level: config.LOG_LEVEL, destination });
  const lifecycle = createLifecycle({ graceSeconds: config.SHUTDOWN_GRACE_SECONDS, logger });
  lifecycle.push('data folder', lock.release);
  lifecycle.push('tracing', stopTracing);
  if (config.tracing) await (await import('../../platform/telemetry/tracing.ts')).startTracing(config, logger);
  let isStopping = false;
  stopOnSignal(lifecycle, logger, () => {
    isStopping = true;
    const seconds = config.SHUTDOWN_GRACE_SECONDS;
    console.log(`Stopping: running calls have up to ${seconds} s to end. Ctrl-C again ends at once; nothing is lost.`);
  });
  const { version } = JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8')) as { version: string };
  try {
    buildConsole();
    const stack = await startStack({ config, served, projectDir, dataDir, lifecycle, logger, version });
    const curl = `curl -sS ${stack.address}/ask -H "Authorization: Bearer $(cat '${stack.keyFile}')" -H 'Content-Type: application/json' -d '{"prompt":"Why is the sky blue?"}'`;
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    const model = stack.emulated ? 'answers are emulated: set GEMINI_API_KEY for real ones' : 'Gemini answers';
    console.log(
      `Ready ${stack.address} after ${seconds} s | ${model} | key: ${stack.keyFile} | follow: npm run watch | metrics: ${stack.adminAddress}/metrics | log: ${logFile} | try: ${curl}`,
    );
  } catch (error) {
    await setImmediate(); // a signal that broke off what is waited for in one go is heard by now
    await lifecycle.stop();
    if (!isStopping) throw error;
    logger.info({ err: error }, 'start: broken off by the stop');
  }
} catch (error) {
  if (error instanceof StartError || error instanceof ConfigError) console.error(error.message);
  else console.error('The stack could not be started:', error);
  process.exit(1);
}

/** In a process of its own: the page is not a part of the services. */
function buildConsole(): void {
  const { status, stderr } = spawnSync(process.execPath, [join(projectDir, 'console/build.mjs')], { encoding: 'utf8' });
  if (status !== 0) throw new StartError(`The page at / could not be built: ${stderr.trim().slice(-400)}`);
}
