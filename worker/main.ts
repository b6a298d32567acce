/** The worker as a process of its own. */
import { openAppender, runService } from '../platform/boot.ts';
import { budgetFrom } from '../platform/config/budget.ts';
import { type Config, ConfigError } from '../platform/config/load.ts';
import { writableFolder } from '../platform/config/writable-folder.ts';
import { openPriceBook } from '../platform/prices/price-file.ts';
import { connectWorker } from './app.ts';
import { createGeminiProvider } from './providers/gemini/gemini.ts';
import type { Provider } from './providers/provider.ts';
import { connectSpool } from './spool/open.ts';

const now = () => new Date();

function geminiOf({ GEMINI_API_KEY: apiKey, GEMINI_BASE_URL: baseUrl }: Config): Provider {
  if (!apiKey) throw new ConfigError(['GEMINI_API_KEY: is not set; expected a Gemini API key']);
  return createGeminiProvider({ apiKey, ...(baseUrl && { baseUrl }), now });
}

const parts = {
  provider: geminiOf,
  book: openPriceBook,
  spoolDir: ({ SPOOL_DIR }: Config) => SPOOL_DIR && writableFolder('SPOOL_DIR', SPOOL_DIR),
};

await runService('worker', parts, async (booted, { book, provider, spoolDir }) => {
  const { config, lifecycle, logger, metrics, pool, redis, hints, name, openRedis, sleep } = booted;
  const queueLimit = Math.max(config.APPEND_QUEUE_LIMIT, 4 * config.NUMBER_OF_WORKERS);
  const appender = openAppender(booted, config.POSTGRES_URI!, queueLimit);
  const worker = connectWorker({
    name,
    pool,
    append: appender.append,
    redis,
    blockingRedis: openRedis('tasks'),
    hints,
    tasksStream: config.REDIS_SUB_STREAM_ID,
    resultsStream: config.REDIS_PUB_STREAM_ID,
    resultsMaxLength: config.RESULTS_MAX_LENGTH,
    provider,
    priceOf: book.price,
    slots: config.NUMBER_OF_WORKERS,
    leaseSeconds: config.LEASE_SECONDS,
    callTimeoutSeconds: config.CALL_TIMEOUT_SECONDS,
    drainSeconds: Math.max(1, config.SHUTDOWN_GRACE_SECONDS - 5),
    budget: budgetFrom(config),
    spool: await connectSpool(spoolDir, pool, logger),
    now,
    sleep,
    logger,
    metrics,
  });
  worker.start();
  lifecycle.push('worker', worker.stop);
});
