/** Memory, open files, connections and the stream's length while a run goes on. */
import { readdirSync, readFileSync } from 'node:fs';
import { tasksLength } from './collect.ts';
import type { Evidence, ProcessSample } from './evidence.ts';
import type { Fleet } from './fleet.ts';

export type Sampler = {
  samples: ProcessSample[];
  postgresConnections: () => Evidence['postgresConnections'];
  readonly longestTasks: number;
  stop: () => void;
};

/** A new connection and one statement take some milliseconds: after this, everybody's renewals are late as well. */
const LATE_MS = 700;
const LENGTH_EVERY_MS = 500;
/** By pool, those of all processes of a service together, or by the statement of who has no name; and by what they wait for unless idle. */
const CONNECTIONS = `SELECT CASE application_name WHEN '' THEN coalesce(left(query, 60), backend_type)
                                ELSE regexp_replace(application_name, '-\\d+(?=-|$)', '', 'g') END
         || CASE state WHEN 'idle' THEN '' ELSE ' ' || coalesce(state, '') || ' ' || coalesce(wait_event, '') END AS whose,
       count(*)::integer AS n
  FROM pg_stat_activity WHERE datname = current_database() GROUP BY 1 ORDER BY 2 DESC, 1`;

export function startSampling(fleet: Fleet, everyMs = 1_000): Sampler {
  const samples: ProcessSample[] = [];
  let postgresConnections = { most: 0, whose: '' };
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
      const rows = await fleet.query<{ whose: string; n: number }>(CONNECTIONS);
      const most = rows.reduce((sum, { n }) => sum + n, 0);
      if (most > postgresConnections.most)
        postgresConnections = { most, whose: rows.map(({ whose, n }) => `${whose} ${n}`).join(', ') };
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
    postgresConnections: () => postgresConnections,
    get longestTasks() {
      return longestTasks;
    },
    stop: () => {
      for (const timer of timers) clearInterval(timer);
    },
  };
}
