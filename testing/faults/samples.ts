/** Memory, open files and connections while a run goes on. */
import { readdirSync, readFileSync } from 'node:fs';
import type { ProcessSample } from './evidence.ts';
import type { Fleet } from './fleet.ts';

export type Sampler = { samples: ProcessSample[]; readonly postgresConnections: number; stop: () => void };

export function startSampling(fleet: Fleet, everyMs = 1_000): Sampler {
  const samples: ProcessSample[] = [];
  let postgresConnections = 0;
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
    try {
      const [row] = await fleet.query<{ n: number }>(
        'SELECT count(*)::integer AS n FROM pg_stat_activity WHERE datname = current_database()',
      );
      postgresConnections = Math.max(postgresConnections, row?.n ?? 0);
    } catch {
      // Postgres is away: that is what is tested.
    }
  }
  const timer = setInterval(() => void sample(), everyMs);
  return {
    samples,
    get postgresConnections() {
      return postgresConnections;
    },
    stop: () => clearInterval(timer),
  };
}
