/**
 * Loaded with `node --import` before anything else: instrumentation must see `fastify` and `http` being imported.
 * Without a collector named in the environment nothing is loaded and nothing is paid.
 */
import { ConfigError, loadConfig } from '../config/load.ts';

try {
  const config = loadConfig('cli');
  if (config.tracing) {
    const { startTracing } = await import('./tracing.ts');
    await startTracing({ service: config.APP_ID, jaegerUri: config.JAEGER_URI });
  }
} catch (error) {
  // The service itself reports a wrong configuration, with all its problems.
  if (!(error instanceof ConfigError)) throw error;
}
