/** Writes how far a rebuild is to its row, twice a second at most, and hints that there is something to read. */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';
import type { HintBus } from '../../platform/redis/hints.ts';
import type { Progress } from './rebuild.ts';

const TELL = readSql(import.meta.url, 'sql/tell-progress.sql');
const EVERY_MS = 500;

export type Teller = {
  tell: (progress: Progress) => void;
  /** Nothing is written any more when this has resolved. */
  done: () => Promise<void>;
};

export type TellerOptions = {
  pool: pg.Pool;
  hints: Pick<HintBus, 'send'>;
  /** Of the rebuild. */
  id: string;
  logger: { warn: (o: object, m: string) => void };
};

export function createTeller({ pool, hints, id, logger }: TellerOptions): Teller {
  let latest: Progress | null = null;
  let writing: Promise<void> | null = null;
  let writtenAt = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function write({ version, phase, position, target, eventsPerSecond }: Progress): Promise<void> {
    try {
      await pool.query({
        name: 'tell-progress',
        text: TELL,
        values: [id, version, phase, position, target, eventsPerSecond],
      });
      hints.send('rebuild');
    } catch (error) {
      logger.warn({ err: error, rebuild: id }, 'rebuild: how far it is could not be told');
    }
  }

  /** Now, or when half a second has passed since the last time: the newest is told in any case. */
  function plan(): void {
    if (writing || timer || !latest) return;
    timer = setTimeout(
      () => {
        timer = undefined;
        const progress = latest!;
        latest = null;
        writtenAt = performance.now();
        writing = write(progress).finally(() => {
          writing = null;
          plan();
        });
      },
      Math.max(0, writtenAt + EVERY_MS - performance.now()),
    );
  }

  return {
    tell: (progress) => {
      latest = progress;
      plan();
    },
    done: async () => {
      clearTimeout(timer);
      latest = null;
      await writing;
    },
  };
}
