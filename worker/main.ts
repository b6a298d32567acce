/** The worker as a process of its own. */
import { openAppender, runService } from '../platform/boot.ts';
import { budgetFrom } from '../platform/config/budget.ts';
import { ConfigError } from '../platform/config/load.ts';
import { openPriceBook } from '../platform/prices/price-file.ts';
import { connectWorker } from './app.ts';
import { createGeminiProvider } from './providers/gemini/gemini.ts';
import { connectSpool } from './spool/open.ts';

await runService('worker', async (booted) => {
  const { config, lifecycle, logger, metrics, pool, redis, hints, name, openRedis, sleep } = booted;
  const apiKey = config.GEMINI_API_KEY;
  if (!apiKey) throw new ConfigError(['GEMINI_API_KEY: is not set; expected a Gemini API key']);
  const now = () => new Date();
  const queueLimit = Math.max(config.APPEND_QUEUE_LIMIT, 4 * config.NUMBER_OF_WORKERS);
  const appender = openAppender(booted, config.POSTGRES_URI!, queueLimit);
  const provider = createGeminiProvider({
    apiKey,
    ...(config.GEMINI_BASE_URL && { baseUrl: config.GEMINI_BASE_URL }),
    now,
  });
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
    priceOf: openPriceBook(config).price,
    slots: config.NUMBER_OF_WORKERS,
    leaseSeconds: config.LEASE_SECONDS,
    callTimeoutSeconds: config.CALL_TIMEOUT_SECONDS,
    drainSeconds: Math.max(1, config.SHUTDOWN_GRACE_SECONDS - 5),
    budget: budgetFrom(config),
    spool: await connectSpool(config.SPOOL_DIR, pool, logger),
    now,
    sleep,
    logger,
    metrics,
  });
  worker.start();
  lifecycle.push('worker', worker.stop);
});
