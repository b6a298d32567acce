/**
 * Loaded with `node --import` before anything else: the instrumentation must see `fastify` being imported. Without a
 * collector named in the environment nothing is loaded and nothing is paid.
 */
import { basename, dirname, resolve } from 'node:path';
import { ConfigError, loadConfig } from '../config/load.ts';
import { services } from '../config/variables.ts';

/** The folder of the entry point is the service's name; needed before that entry point runs. */
const folder = basename(dirname(resolve(process.argv[1] ?? '')));
const service = services.find((name) => name === folder) ?? 'cli';

try {
  const config = loadConfig(service);
  if (config.tracing) {
    const [{ pino }, { createLogger }, { startTracing }] = await Promise.all([
      import('pino'),
      import('./logging.ts'),
      import('./tracing.ts'),
    ]);
    // Few lines, written at once: the service's own logger writes to the same place.
    const destination = pino.destination({ dest: 1, sync: true });
    await startTracing(config, createLogger({ service: config.APP_ID, level: config.LOG_LEVEL, destination }));
  }
} catch (error) {
  // The service itself reports a wrong configuration, with all its problems.
  if (!(error instanceof ConfigError)) throw error;
}
