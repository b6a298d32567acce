/**
 * Loaded with `node --import` before anything else: instrumentation must see `fastify` and `http` being imported.
 * Without a collector named in the environment nothing is loaded and nothing is paid.
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
    const { startTracing } = await import('./tracing.ts');
    const standard = config.OTEL_EXPORTER_OTLP_ENDPOINT ?? config.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
    await startTracing({ service: config.APP_ID, jaegerUri: standard ? null : config.JAEGER_URI });
  }
} catch (error) {
  // The service itself reports a wrong configuration, with all its problems.
  if (!(error instanceof ConfigError)) throw error;
}
