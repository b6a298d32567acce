/** Listens to the `results` stream and rings; what the entries say is read from the log. */
import type { RedisClient } from '../platform/redis/connection.ts';
import { markReceived, type RawEntry } from './received-results.ts';

export const PROJECTOR_GROUP = 'projector';
const BLOCK_MS = 1_000;

export type WakeUpOptions = {
  /** Of this alone: it blocks. */
  redis: RedisClient;
  stream: string;
  consumer: string;
  ring: () => void;
  sleep: (ms: number) => Promise<void>;
  logger: { warn: (o: object, m: string) => void };
};

export function createWakeUp(options: WakeUpOptions): { start: () => void; stop: () => Promise<void> } {
  const { redis, stream, logger } = options;
  let stopping = false;
  let loop: Promise<void> | null = null;

  async function run(): Promise<void> {
    while (!stopping) {
      try {
        // NOACK: entries are wake-ups, there is nothing to take over from a reader that died.
        const answer = await redis.xreadgroup(
          'GROUP',
          PROJECTOR_GROUP,
          options.consumer,
          'COUNT',
          1_000,
          'BLOCK',
          BLOCK_MS,
          'NOACK',
          'STREAMS',
          stream,
          '>',
        );
        const [read] = (answer ?? []) as [string, RawEntry[]][];
        if (read) markReceived(stream, PROJECTOR_GROUP, read[1], options.ring);
      } catch (error) {
        if (stopping) return;
        if (error instanceof Error && /^(NOGROUP|UNBLOCKED)/.test(error.message)) await ensureGroup();
        else {
          logger.warn({ err: error }, 'wake-up: the results stream could not be read; the log is polled');
          await options.sleep(500);
        }
      }
    }
  }

  async function ensureGroup(): Promise<void> {
    try {
      await redis.xgroup('CREATE', stream, PROJECTOR_GROUP, '0', 'MKSTREAM');
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('BUSYGROUP')) return;
      logger.warn({ err: error }, 'wake-up: the group could not be made');
      await options.sleep(500);
    }
  }

  return {
    start: () => {
      loop ??= run();
    },
    stop: async () => {
      stopping = true;
      redis.disconnect(); // ends the blocking read
      await loop;
    },
  };
}
