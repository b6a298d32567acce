/** How fast a backlog is drained by one worker process, and by two. */
import type { BenchEnvironment } from '../environment.ts';
import type { Workers } from './figures.ts';
import type { Load } from './load.ts';
import { coreTimes } from './processes.ts';
import type { RedisProbe } from './redis-probe.ts';
import type { Running } from './service.ts';

export type DrainOptions = {
  environment: BenchEnvironment;
  load: Load;
  startWorker: (slots: number) => Promise<Running>;
  slots: number;
  callMs: number;
  /** Prompts for each worker. */
  backlog: number;
  redis: Pick<RedisProbe, 'usedBytes'>;
};

/** Whoever comes later finds a larger log: both come first and last. */
const TURNS = [1, 2, 2, 1];
const CONNECTIONS = 32;
/** Of each drain: until every worker is at it, and from when one may run out of work. */
const RAMP_SECONDS = 1;
const TAIL_SHARE = 0.05;

type Drain = { prompts: number; seconds: number; busyShare: number; backlog: Backlog };
/** Prompts that waited, and by how much Redis grew until they did. */
export type Backlog = { waiting: number; waitingBytes: number };

export async function measureWorkers(options: DrainOptions): Promise<{ workers: Workers; backlog: Backlog }> {
  const drains: { workers: number; drain: Drain }[] = [];
  for (const workers of TURNS) drains.push({ workers, drain: await drain(workers, options) });
  const of = (workers: number) => drains.filter((one) => one.workers === workers).map((one) => one.drain);
  const rate = (some: Drain[]) =>
    some.reduce((sum, { prompts }) => sum + prompts, 0) / some.reduce((sum, { seconds }) => sum + seconds, 0);
  const workers: Workers = {
    slots: options.slots,
    callMs: options.callMs,
    one: rate(of(1)),
    two: rate(of(2)),
    busyShare: Math.max(...of(2).map(({ busyShare }) => busyShare)),
  };
  return { workers, backlog: of(2)[0]!.backlog };
}

async function drain(workers: number, options: DrainOptions): Promise<Drain> {
  const { environment, load, startWorker, slots, redis } = options;
  const waiting = options.backlog * workers;
  const empty = await redis.usedBytes();
  const [head] = await environment.query<{ position: number }>('SELECT position FROM log_head');
  await load.askAtOnce(waiting, CONNECTIONS);
  const backlog: Backlog = { waiting, waitingBytes: (await redis.usedBytes()) - empty };
  const running = await Promise.all(Array.from({ length: workers }, () => startWorker(slots)));
  const before = coreTimes();
  await load.settled(90_000);
  const after = coreTimes();
  for (const worker of running) await worker.end();
  const ends = await environment.query<{ worker: string; at: number }>(
    `SELECT s.data ->> 'worker' AS worker, extract(epoch FROM e.recorded_at)::float8 AS at
       FROM event e JOIN event s ON s.stream_id = e.stream_id AND s.type = 'AttemptStarted'
      WHERE e.type = 'PromptCompleted' AND e.position > ${head!.position} ORDER BY e.position`,
  );
  return { ...between(ends, workers), busyShare: (after.busy - before.busy) / (after.all - before.all), backlog };
}

/** Completions, with who made them, while every worker had work. Throws when one had none. */
export function between(ends: { worker: string; at: number }[], workers: number): { prompts: number; seconds: number } {
  const first = new Map<string, number>();
  for (const { worker, at } of ends) if (!first.has(worker)) first.set(worker, at);
  if (first.size !== workers) throw new Error(`${first.size} workers of ${workers} completed something`);
  const from = Math.max(...first.values()) + RAMP_SECONDS;
  const to = ends[Math.floor(ends.length * (1 - TAIL_SHARE))]?.at ?? 0;
  const prompts = ends.filter(({ at }) => at > from && at <= to).length;
  if (prompts === 0) throw new Error('the backlog was drained before all were at it');
  return { prompts, seconds: to - from };
}
