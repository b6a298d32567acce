/** All four services in one process, as `npm start` composes them, with a model that answers at once. */
import { mkdirSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { startServices } from '../../deployment/local/services.ts';
import { connectService } from '../../platform/boot.ts';
import { loadConfig } from '../../platform/config/load.ts';
import { createLifecycle, stopOnSignal } from '../../platform/lifecycle.ts';
import { openServedModels } from '../../platform/prices/served-models.ts';
import { createLogger } from '../../platform/telemetry/logging.ts';
import { createMetrics } from '../../platform/telemetry/metrics.ts';
import type { Provider } from '../../worker/providers/provider.ts';

const usage = { inputTokens: 20, cachedInputTokens: 0, outputTokens: 10, thoughtTokens: 0, totalTokens: 30 };
const instant: Provider = {
  name: 'instant',
  generate: async ({ prompt }) => ({
    type: 'completed',
    answer: prompt,
    finishReason: 'STOP',
    truncated: false,
    billing: { known: true, usage, rawUsage: { promptTokenCount: 20, candidatesTokenCount: 10, totalTokenCount: 30 } },
    modelVersion: 'instant',
    emulated: false,
  }),
};

const config = loadConfig('embedded');
const logger = createLogger({ service: 'bench', level: 'warn' });
const lifecycle = createLifecycle({ graceSeconds: 20, logger });
stopOnSignal(lifecycle, logger);
const booted = await connectService({
  service: 'embedded',
  config,
  postgresUri: config.POSTGRES_URI!,
  redisUri: config.REDIS_URI!,
  logger,
  lifecycle,
  metrics: createMetrics('bench'),
  poolSize: 16,
});
const consoleDir = join(import.meta.dirname, '../../console/dist');
mkdirSync(consoleDir, { recursive: true });
const server = await startServices({
  booted,
  postgresUri: config.POSTGRES_URI!,
  served: openServedModels(config),
  provider: instant,
  emulated: false,
  consoleDir,
  version: 'bench',
  spoolDir: null,
});
await server.listen({ host: '127.0.0.1', port: 0 });
lifecycle.push('http', () => server.close());
console.log(`listening on ${(server.server.address() as AddressInfo).port}.`);
