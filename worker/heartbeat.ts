/**
 * Keeps the leases of running attempts alive, and learns which are no longer wanted. Leases are of the database's
 * clock; while Postgres is away nobody can take one over either.
 */
import { createWake } from '../platform/wake.ts';
import type { LeaseLedger } from './lease-ledger.ts';
import type { Running, RunningAttempt } from './running.ts';
import type { TaskReader } from './task-entries.ts';

export type HeartbeatOptions = {
  leases: Pick<LeaseLedger, 'renew' | 'report' | 'signOff'>;
  tasks: Pick<TaskReader, 'touch'>;
  running: Running;
  worker: string;
  leaseSeconds: number;
  logger: { warn: (o: object, m: string) => void };
};

export type Heartbeat = {
  start: () => void;
  /** Ask for the fate of all leases now. */
  now: () => void;
  stop: () => Promise<void>;
};

const REPORT_EVERY_MS = 2_000;

export function createHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { leases, running, worker, leaseSeconds, logger } = options;
  const wake = createWake();
  let stopping = false;
  let touching = false;
  let loop: Promise<void> | null = null;

  async function beat(): Promise<{ busy: boolean }> {
    let busy = false;
    for (const round of onePerPrompt(running.all())) {
      const verdicts = await leases.renew(round, leaseSeconds);
      for (const { promptId, token } of round) {
        const verdict = verdicts.get(promptId);
        // A call whose lease was lost goes on: cutting it spares nothing of what it costs, and its answer may be the first.
        if (verdict === 'closing') running.abort(token, 'cancelled');
        busy ||= verdict === 'busy';
      }
    }
    await leases.report(worker, running.slots, running.count);
    return { busy };
  }

  async function run(): Promise<void> {
    const everyMs = Math.min(REPORT_EVERY_MS, (leaseSeconds * 1000) / 3);
    while (!stopping) {
      let pauseMs = everyMs;
      try {
        const { busy } = await beat();
        if (busy) pauseMs = everyMs / 10; // skipped, not lost: ask again soon
      } catch (error) {
        logger.warn({ err: error }, 'heartbeat: leases could not be renewed');
        pauseMs = everyMs / 4;
      }
      void touchEntries();
      await wake.wait(pauseMs);
    }
    await leases.signOff(worker);
  }

  /** Beside the beat: a Redis that hangs saves no work, and must not cost a lease. */
  async function touchEntries(): Promise<void> {
    if (touching) return;
    touching = true;
    try {
      await options.tasks.touch(running.all().map((one) => one.entryId));
    } catch (error) {
      logger.warn(
        { err: error },
        'heartbeat: entries could not be kept from take-over; claims will be refused instead',
      );
    } finally {
      touching = false;
    }
  }

  return {
    start: () => {
      loop ??= run();
    },
    now: wake.ring,
    stop: async () => {
      stopping = true;
      wake.ring();
      await loop?.catch((error: unknown) => logger.warn({ err: error }, 'heartbeat: could not sign off'));
    },
  };
}

/**
 * Verdicts are told by prompt. A process that was paused past a lease can run two attempts of one: each is asked about
 * in a call of its own.
 */
function onePerPrompt(attempts: RunningAttempt[]): RunningAttempt[][] {
  const rounds: Map<string, RunningAttempt>[] = [];
  for (const attempt of attempts) {
    let round = rounds.find((one) => !one.has(attempt.promptId));
    if (!round) {
      round = new Map();
      rounds.push(round);
    }
    round.set(attempt.promptId, attempt);
  }
  return rounds.map((round) => [...round.values()]);
}
