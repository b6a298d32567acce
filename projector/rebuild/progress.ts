/**
 * Writes how far a rebuild is to its row, twice a second at most and once a second at least, and hints that there is something
 * to read. The answer tells whether somebody has cancelled it.
 */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';
import type { HintBus } from '../../platform/redis/hints.ts';
import type { Progress } from './rebuild.ts';

const TELL = readSql(import.meta.url, 'sql/tell-progress.sql');
const EVERY_MS = 500;
/** A long statement tells nothing: what was told last is told again, as a sign of life. */
const AGAIN_MS = 1_000;

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
  /** May be called more than once. */
  onCancelled: (by: string) => void;
};

export function createTeller({ pool, hints, id, logger, onCancelled }: TellerOptions): Teller {
  let last: Progress | null = null;
  let isNew = false;
  let stopped = false;
  let writing: Promise<void> | null = null;
  let writtenAt = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function write({ version, phase, position, target, eventsPerSecond }: Progress): Promise<void> {
    try {
      const { rows } = await pool.query<{ cancelledBy: string | null }>({
        name: 'tell-progress',
        text: TELL,
        values: [id, version, phase, position, target, eventsPerSecond],
      });
      hints.send('rebuild');
      const by = rows[0]?.cancelledBy ?? null;
      if (by !== null) onCancelled(by);
    } catch (error) {
      logger.warn({ err: error, rebuild: id }, 'rebuild: how far it is could not be told');
    }
  }

  /** The newest is told in any case. */
  function plan(): void {
    if (writing || timer || !last || stopped) return;
    timer = setTimeout(
      () => {
        timer = undefined;
        isNew = false;
        writtenAt = performance.now();
        writing = write(last as Progress).finally(() => {
          writing = null;
          plan();
        });
      },
      Math.max(0, writtenAt + (isNew ? EVERY_MS : AGAIN_MS) - performance.now()),
    );
  }

  return {
    tell: (progress) => {
      last = progress;
      if (!isNew) {
        isNew = true;
        clearTimeout(timer);
        timer = undefined;
      }
      plan();
    },
    done: async () => {
      stopped = true;
      clearTimeout(timer);
      await writing;
    },
  };
}
