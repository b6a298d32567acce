/** After the last fault: waits until nothing is under way any more, and tells what still is when that does not come. */
import { readFileSync } from 'node:fs';
import { type Cleanliness, cleanliness, isClean } from './collect.ts';
import type { Fleet } from './fleet.ts';

/** From the last fault, and the last command, until the system is idle and clean again. */
export const CLEAN_WITHIN_MS = 10_000;

/** Null when nothing moved in the log for so long, and it is not clean. */
export async function waitUntilClean(
  fleet: Fleet,
  withinMs: number,
): Promise<{ cleanAt: number | null; last: Cleanliness | null }> {
  let deadline = Date.now() + withinMs;
  let head = 0;
  let last: Cleanliness | null = null;
  while (Date.now() < deadline) {
    try {
      last = await cleanliness(fleet);
      if (isClean(last)) return { cleanAt: Date.now(), last };
      if (last.head > head) deadline = Date.now() + withinMs;
      head = last.head;
    } catch {
      // A server that is just coming up: asked again until the time is over.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { cleanAt: null, last };
}

/** What a person would ask first: open rows, locks and statements, the end of each log. */
export async function dumpState(fleet: Fleet): Promise<string> {
  const rows = await fleet.query(
    `SELECT prompt_id, state, dispatch, dispatched_at, attempt, token IS NOT NULL AS leased, lease_until, hold_until, due_at,
            worker, clock_timestamp() AS now FROM outbox ORDER BY opened_at LIMIT 10`,
  );
  const activity = await fleet.query(
    `SELECT application_name, state, wait_event, left(query, 80) AS query FROM pg_stat_activity WHERE state <> 'idle' LIMIT 20`,
  );
  const logs = fleet.supervisor.instances().map(({ name, logFile, pid, isUp, starts }) => {
    const end = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-5).join('\n    ');
    return `  ${name} (pid ${pid}, ${isUp ? 'up' : 'not up'}, started ${starts} times)\n    ${end}`;
  });
  return [`outbox: ${JSON.stringify(rows, null, 1)}`, `activity: ${JSON.stringify(activity)}`, ...logs].join('\n');
}
