/** The projector as a process of its own. */
import { runService } from '../platform/boot.ts';
import { createProjector } from './app.ts';

await runService('projector', {}, async (booted) => {
  const { config, lifecycle, logger, metrics, pool, redis, hints, openRedis, sleep } = booted;
  const projector = createProjector({
    postgresUri: config.POSTGRES_URI!,
    archiveDir: config.ARCHIVE_DIR ?? undefined,
    pool,
    blockingRedis: openRedis('results'),
    hints,
    resultsStream: config.REDIS_RES_STREAM_ID,
    logger,
    sleep,
    redis,
    metrics,
    // A supervisor starts it again; it stops at the same place, and says so, until the log was looked at.
    onBroken: () => void lifecycle.stop().then(() => process.exit(1)),
  });
  projector.start();
  lifecycle.push('projector', projector.stop);
});
