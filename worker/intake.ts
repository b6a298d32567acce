/** Reads task entries, never more than there are free slots, and sees to those whose reader has died. */
import { inTraceOf } from '../platform/telemetry/spans.ts';
import type { Running } from './running.ts';
import type { ForeignEntry, Task, TaskReader } from './task-entries.ts';

export type IntakeOptions = {
  tasks: TaskReader;
  running: Running;
  handle: (task: Task) => Promise<void>;
  /** Of an entry that came while stopping: another worker shall have it, at once. */
  handBack: (task: Task) => Promise<void>;
  acknowledge: (entryId: string) => Promise<void>;
  /** An entry silent for so long is taken over from its reader. */
  takeOverIdleMs: number;
  /** Slots came free: the relay may have more. */
  onRoom: () => void;
  sleep: (ms: number) => Promise<void>;
  logger: { warn: (o: object, m: string) => void };
};

export type Intake = { start: () => void; stop: () => Promise<void> };

const BLOCK_MS = 500;
/** Entries asked for at once, however many slots are free: their claims go into one append. */
const MOST_AT_ONCE = 200;

export function createIntake(options: IntakeOptions): Intake {
  const { tasks, running, logger } = options;
  let stopping = false;
  let loop: Promise<void> | null = null;
  let halt = () => {};
  const halted = new Promise<void>((resolve) => {
    halt = resolve;
  });
  let lookedForSilentAt = performance.now();

  async function run(): Promise<void> {
    while (!stopping) {
      await Promise.race([running.whenFree(), halted]);
      if (stopping) return;
      const count = Math.min(running.free, MOST_AT_ONCE);
      running.reserve(count);
      let entries: (Task | ForeignEntry)[] = [];
      try {
        entries = await next(count);
      } catch (error) {
        logger.warn({ err: error }, 'intake: the tasks stream could not be read');
        await options.sleep(250);
      }
      running.release(count - entries.length);
      for (const entry of entries) void inTraceOf('foreign' in entry ? null : entry.traceparent, () => take(entry));
    }
  }

  async function next(count: number): Promise<(Task | ForeignEntry)[]> {
    if (performance.now() - lookedForSilentAt > options.takeOverIdleMs / 2) {
      lookedForSilentAt = performance.now();
      const silent = await tasks.takeOver(count, options.takeOverIdleMs);
      if (silent.length > 0) return silent;
    }
    return tasks.read(count, BLOCK_MS);
  }

  async function take(entry: Task | ForeignEntry): Promise<void> {
    try {
      if ('foreign' in entry) {
        logger.warn({ entryId: entry.entryId }, 'intake: an entry that is not ours is put aside');
        await options.acknowledge(entry.entryId);
      } else if (stopping) {
        await options.handBack(entry);
      } else {
        await options.handle(entry);
      }
    } catch (error) {
      // Unclaimed or unacknowledged: the entry stays pending and is taken over later; claiming it again is refused
      // if it was done.
      logger.warn({ err: error, entryId: entry.entryId }, 'intake: an entry was not brought to its end');
    } finally {
      running.release(1);
      options.onRoom();
    }
  }

  return {
    start: () => {
      loop ??= run();
    },
    stop: async () => {
      stopping = true;
      halt();
      await loop;
    },
  };
}
