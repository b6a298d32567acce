/** The `results` stream: a wake-up with enough in it to be useful to others; capped by length, never the truth. */
import type { RedisClient } from './connection.ts';

export type ResultEntry = {
  promptId: string;
  attempt: number;
  type: string;
  position: number;
  traceparent: string | null;
};

/** One round trip for all entries; `maxLength` is approximate. */
export async function publishResults(
  redis: RedisClient,
  stream: string,
  entries: ResultEntry[],
  maxLength: number,
): Promise<void> {
  const pipeline = redis.pipeline();
  for (const entry of entries) {
    pipeline.xadd(
      stream,
      'MAXLEN',
      '~',
      maxLength,
      '*',
      'promptId',
      entry.promptId,
      'attempt',
      entry.attempt,
      'type',
      entry.type,
      'position',
      entry.position,
      'traceparent',
      entry.traceparent ?? '',
    );
  }
  const answers = (await pipeline.exec()) ?? [];
  const failed = answers.find(([error]) => error);
  if (failed?.[0]) throw failed[0];
}
