/** What every process takes, of processors and memory, with nothing to do and at a steady rate. */
import type { BenchEnvironment } from '../environment.ts';
import type { Steady } from './figures.ts';
import type { Load } from './load.ts';
import { cpuSecondsOf, cpuSecondsOfTree, residentBytesOf, residentBytesOfTree } from './processes.ts';
import type { RedisProbe } from './redis-probe.ts';

/** `tree`: with the processes that it starts. */
export type Watched = { process: string; pid: number; tree?: boolean };

export type SteadyOptions = {
  environment: BenchEnvironment;
  watched: Watched[];
  load: Load;
  redis: RedisProbe;
  perSecond: number;
  seconds: number;
};

const SETTLE_SECONDS = 2;
const IDLE_SECONDS = 5;
const WARM_UP_SECONDS = 5;
const SAMPLE_MS = 500;

const pause = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const cpuOf = ({ pid, tree }: Watched): number => (tree ? cpuSecondsOfTree(pid) : cpuSecondsOf(pid));
const bytesOf = ({ pid, tree }: Watched): number => (tree ? residentBytesOfTree(pid) : residentBytesOf(pid));

export async function measureSteady(
  options: SteadyOptions,
): Promise<{ steady: Steady; redis: { idleBytes: number; loadBytes: number } }> {
  const { environment, watched, load, redis, perSecond, seconds } = options;
  await pause(SETTLE_SECONDS);
  const rested = watched.map(cpuOf);
  await pause(IDLE_SECONDS);
  const idle = watched.map((one, i) => ({ share: (cpuOf(one) - rested[i]!) / IDLE_SECONDS, bytes: bytesOf(one) }));
  const idleBytes = await redis.usedBytes();

  const asking = load.askSteadily(perSecond, WARM_UP_SECONDS + seconds);
  asking.catch(() => {}); // looked at below
  await pause(WARM_UP_SECONDS);
  const from = { cpu: watched.map(cpuOf), completed: load.completed(), wal: await walBytes(environment) };
  const most = watched.map(bytesOf);
  let loadBytes = 0;
  for (const end = performance.now() + seconds * 1000; performance.now() < end; await pause(SAMPLE_MS / 1000)) {
    watched.forEach((one, i) => {
      most[i] = Math.max(most[i]!, bytesOf(one));
    });
    loadBytes = Math.max(loadBytes, await redis.usedBytes());
  }
  const to = { cpu: watched.map(cpuOf), completed: load.completed(), wal: await walBytes(environment) };
  await asking;
  await load.settled(30_000);

  const prompts = to.completed - from.completed;
  const processes = watched.map(({ process }, i) => ({
    process,
    idleShare: idle[i]!.share,
    cpuSecondsPerPrompt: (to.cpu[i]! - from.cpu[i]!) / prompts,
    idleBytes: idle[i]!.bytes,
    loadBytes: most[i]!,
  }));
  const walBytesPerPrompt = (to.wal - from.wal) / prompts;
  return { steady: { perSecond, seconds, processes, walBytesPerPrompt }, redis: { idleBytes, loadBytes } };
}

async function walBytes({ query }: BenchEnvironment): Promise<number> {
  const rows = await query<{ bytes: string }>(`SELECT (pg_current_wal_insert_lsn() - '0/0')::text AS bytes`);
  return Number(rows[0]!.bytes);
}
