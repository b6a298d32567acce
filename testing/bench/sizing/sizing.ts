/** `npm run bench -- sizing`: what to plan with, measured on the files of the image, and written to doc/how-to/size-it.md. */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { startEmulator } from '../../emulator/emulator.ts';
import type { BenchEnvironment } from '../environment.ts';
import type { Figures, RedisMemory } from './figures.ts';
import { growthOf, readSizes } from './growth.ts';
import { openLoad, type Texts } from './load.ts';
import { measureReady } from './ready.ts';
import { openRedisProbe } from './redis-probe.ts';
import { assemble, type Running, type ServiceName, startService } from './service.ts';
import { measureSteady, type Watched } from './steady.ts';
import { measureWorkers } from './workers.ts';

const TEXTS: Texts = { promptCharacters: 400, answerCharacters: 1_200, answerPieces: 4, callMs: 100 };
const USERS = 20;
/** Leaves two cores room. */
const STEADY = { perSecond: 100, seconds: 60, slots: 40 };
/** So few slots that they bound what one worker does, and two cores serve two of them. */
const DRAIN = { slots: 4, backlog: 450 };

export async function measureSizing(environment: BenchEnvironment): Promise<Figures> {
  if (process.platform !== 'linux') throw new Error('processor time and memory are read from /proc: Linux only');
  const work = mkdtempSync(join(tmpdir(), 'orchestrator-sizing-'));
  environment.onStop(async () => rmSync(work, { recursive: true, force: true }));
  const startedAt = performance.now();
  const tell = (what: string) =>
    console.log(`${((performance.now() - startedAt) / 1000).toFixed(0).padStart(4)} s  ${what}`);

  const app = join(work, 'app');
  assemble(app);
  tell('the files of the image are made');
  const emulator = await startEmulator();
  environment.onStop(emulator.close);
  const redis = openRedisProbe(environment.redisUri);
  environment.onStop(async () => redis.close());
  const compiled = join(work, 'compiled');
  const env = {
    POSTGRES_URI: environment.postgresUri,
    REDIS_URI: environment.redisUri,
    GEMINI_API_KEY: 'emulated',
    GEMINI_BASE_URL: emulator.url,
  };
  const empty = await readSizes(environment);

  const ready = await measureReady(app, work, env);
  tell('each service was ready some times');

  const start = async (name: ServiceName, more: Record<string, string> = {}): Promise<Running> => {
    const running = await startService(app, name, { ...env, NODE_COMPILE_CACHE: compiled, ...more });
    environment.onStop(running.end);
    return running;
  };
  const startWorker = (slots: number) => start('worker', { NUMBER_OF_WORKERS: String(slots) });
  const command = await start('command-api');
  const query = await start('query-api');
  const projector = await start('projector');
  const worker = await startWorker(STEADY.slots);
  const ports = { command: command.port, query: query.port };
  const load = await openLoad(environment, emulator, ports, { ...TEXTS, users: USERS });
  environment.onStop(async () => load.close());

  const watched: Watched[] = [
    { process: 'command-api', pid: command.pid },
    { process: 'worker', pid: worker.pid },
    { process: 'projector', pid: projector.pid },
    { process: 'query-api', pid: query.pid },
    { process: 'PostgreSQL', pid: environment.pids.postgres, tree: true },
    { process: 'Redis', pid: environment.pids.redis },
  ];
  const measured = await measureSteady({ environment, watched, load, redis, ...STEADY });
  tell(`${load.completed()} prompts at a steady rate`);
  await worker.end();

  const drained = await measureWorkers({ environment, load, startWorker, redis, ...DRAIN, callMs: TEXTS.callMs });
  tell('backlogs drained by one worker and by two');

  const results = await redis.stream('results');
  const memory: RedisMemory = {
    ...measured.redis,
    ...drained.backlog,
    resultsEntries: results.entries,
    resultsBytes: results.bytes,
    bytesPerCachedPrompt: await redis.meanBytes('cache:prompt:'),
  };
  load.close();
  for (const one of [command, query, projector]) await one.end();
  const growth = growthOf(empty, await readSizes(environment), load.asked());
  tell(`${growth.prompts} prompts in the database`);
  return {
    date: new Date().toISOString().slice(0, 10),
    cores: cpus().length,
    gibibytes: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    promptCharacters: TEXTS.promptCharacters,
    answerCharacters: TEXTS.answerCharacters,
    answerPieces: TEXTS.answerPieces,
    users: USERS,
    ready,
    workers: drained.workers,
    steady: measured.steady,
    growth,
    redis: memory,
  };
}
