/** Reads of statistics and history of ten thousand prompts beside those of many times as many, on one server in one run. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { clusterOf } from '../../deployment/local/servers/postgres.ts';
import { startRedis } from '../../deployment/local/servers/redis.ts';
import { type Service, startService } from '../kit/process.ts';
import { createRandom } from '../kit/random.ts';
import { ROOT } from './environment.ts';
import { type Passes, type Server, timePasses } from './reads/ask.ts';
import { DAYS, load } from './reads/load.ts';
import { type Result, summaryOf, tablesOf } from './reads/page.ts';
import { drawer, type Question, questions } from './reads/questions.ts';
import { drawPlaces } from './reads/sample.ts';
import type { Measured } from './reads/table.ts';

export type ReadsOptions = {
  prompts: number;
  users: number;
  /** Prompts of the smaller logs. */
  base: number;
  /** Of the days that the logs are of, so many from the first are archived. */
  archivedDays: number;
  /** Of each kind. */
  ask: number;
  /** Kinds that have this in their name. */
  only: string;
};

const SEED = 1;

/** Copies of the small log that give so many prompts and users. Throws when none do. */
export function copiesOf({ prompts, users, base }: Pick<ReadsOptions, 'prompts' | 'users' | 'base'>) {
  const copies = prompts / base;
  const baseUsers = users / copies;
  if (!Number.isInteger(copies) || copies < 1 || !Number.isInteger(baseUsers) || baseUsers < 1)
    throw new Error(`--prompts: a multiple of ${base}; --users: as many for each of these`);
  return { copies, baseUsers };
}

/** Prints what it does and the tables; the folders go in any case. */
export async function measureReads(options: ReadsOptions): Promise<Result> {
  const { copies, baseUsers } = copiesOf(options);
  if (!(options.archivedDays >= 0 && options.archivedDays < DAYS))
    throw new Error(`--archived-days: less than the ${DAYS} days that the logs are of`);
  const dataDir = mkdtempSync(join(tmpdir(), 'orchestrator-reads-'));
  const home = dirname((await clusterOf(dataDir)).cluster);
  const remove = () => {
    for (const folder of new Set([home, dataDir])) rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', remove); // also after an error that nobody caught
  const releases: (() => Promise<void>)[] = [];
  let released: Promise<void> | undefined;
  const release = () => {
    released ??= (async () => {
      for (const one of releases.reverse()) await one();
      remove();
      process.off('exit', remove);
    })();
    return released;
  };
  const interrupted = () => void release().finally(() => process.exit(130));
  process.on('SIGINT', interrupted).on('SIGTERM', interrupted);
  const startedAt = performance.now();
  const tell = (what: string) =>
    console.log(`${((performance.now() - startedAt) / 1000).toFixed(0).padStart(5)} s  ${what}`);
  try {
    return await run({ ...options, copies, baseUsers, dataDir, releases, tell });
  } finally {
    await release();
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}

export const isAnswered = ({ measured }: Result): boolean =>
  measured.every(({ small, large }) => small.refused.size === 0 && large.refused.size === 0);

type Run = Omit<ReadsOptions, 'prompts'> & {
  copies: number;
  baseUsers: number;
  dataDir: string;
  releases: (() => Promise<void>)[];
  tell: (what: string) => void;
};

async function run(options: Run): Promise<Result> {
  const { base, copies, baseUsers, users, ask, archivedDays, dataDir, releases, tell } = options;
  const others = loadavg()[1]!;
  const { uris, apiKey, ...loaded } = await load(options);
  const redis = await startRedis({ dataDir, cacheDir: join(ROOT, '.cache') });
  releases.push(() => redis.stop());
  const side = async (uri: string): Promise<Side> => {
    const env = { POSTGRES_URI: uri, REDIS_URI: redis.uri, CACHE_TTL_MINUTES: '0', LOG_LEVEL: 'info' };
    const server = { port: (await startQueryApi(releases, env)).port, apiKey };
    const random = createRandom(SEED);
    const sample = await drawPlaces(uri, random);
    const draw = drawer(sample, random);
    return {
      server,
      paths: (n, question) => Array.from({ length: n }, () => question.ask(random.pick(sample[question.places]), draw)),
    };
  };
  const [few, many, large] = [await side(uris.few), await side(uris.many), await side(uris.large)];
  const asked = questions.filter(
    ({ what, places }) => what.includes(options.only) && (places !== 'archived' || archivedDays > 0),
  );
  const measured: Measured[] = [];
  for (const question of asked) {
    const { what, about } = question;
    // Both sizes in turn, kind by kind: what else the machine does meets both.
    const passes: Passes[] = [];
    for (const { server, paths } of [about === 'one' ? few : many, large])
      passes.push(await timePasses(server, paths(ask, question), question.status));
    measured.push({ what, about, small: passes[0]!, large: passes[1]! });
    tell(`${what}: ${passes.map(({ again }) => `${again.p50.toFixed(1)} ms`).join(' and ')}`);
  }
  const sizes = { small: base, large: copies * base, users, fewUsers: baseUsers, days: DAYS, archivedDays, ask };
  const result: Result = { measured, others, ...sizes, ...loaded };
  console.log(`\n${tablesOf(result)}\n\n${summaryOf(result)}`);
  return result;
}

type Side = { server: Server; paths: (n: number, question: Question) => string[] };

/** Its assets are not read here, but their folder has to be there. */
async function startQueryApi(releases: Run['releases'], env: Record<string, string>): Promise<Service> {
  mkdirSync(join(ROOT, 'console/dist'), { recursive: true });
  return startService({ after: (fn) => void releases.push(fn) }, 'query-api', env, 120_000);
}
