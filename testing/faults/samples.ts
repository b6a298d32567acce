/** Memory, open files, connections and the stream's length while a run goes on. */
import { readdirSync, readFileSync } from 'node:fs';
import { tasksLength } from './collect.ts';
import type { ProcessSample } from './evidence.ts';
import type { Fleet } from './fleet.ts';

export type Sampler = {
  samples: ProcessSample[];
  readonly postgresConnections: number;
  readonly longestTasks: number;
  stop: () => void;
};

/** A new connection and one statement take some milliseconds: after this, everybody's renewals are late as well. */
const LATE_MS = 700;
const LENGTH_EVERY_MS = 500;

export function startSampling(fleet: Fleet, everyMs = 1_000): Sampler {
  const samples: ProcessSample[] = [];
  let postgresConnections = 0;
  let longestTasks = 0;
  async function sample(): Promise<void> {
    for (const { pid, service } of fleet.supervisor.instances()) {
      if (!pid) continue;
      try {
        const rss = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
        const openFiles = readdirSync(`/proc/${pid}/fd`).length;
        samples.push({ at: Date.now(), service, pid, rssBytes: Number(rss ?? 0) * 1024, openFiles });
      } catch {
        // Killed while it was looked at.
      }
    }
    const asked = performance.now();
    try {
      const [row] = await fleet.query<{ n: number }>(
        'SELECT count(*)::integer AS n FROM pg_stat_activity WHERE datname = current_database()',
      );
      postgresConnections = Math.max(postgresConnections, row?.n ?? 0);
      const ms = performance.now() - asked;
      if (ms >= LATE_MS) fleet.impairments.ended('postgres', 'late', null, ms);
    } catch {
      // Postgres is away: that is what is tested.
    }
  }
  let measuring = false;
  async function measure(): Promise<void> {
    if (measuring) return;
    measuring = true;
    try {
      longestTasks = Math.max(longestTasks, await tasksLength(fleet));
    } catch {
      // Redis is away: then it holds nothing either.
    } finally {
      measuring = false;
    }
  }
  const timers = [setInterval(() => void sample(), everyMs), setInterval(() => void measure(), LENGTH_EVERY_MS)];
  return {
    samples,
    get postgresConnections() {
      return postgresConnections;
    },
    get longestTasks() {
      return longestTasks;
    },
    stop: () => {
      for (const timer of timers) clearInterval(timer);
    },
  };
}
