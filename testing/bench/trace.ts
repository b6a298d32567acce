/**
 * Replays one hour of a production service (Azure, 19,366 requests) through the running system, each request with its own
 * token counts, and compares what the accounts say with a direct sum over the file: live, with two projectors that are given
 * the same events; rebuilt; rebuilt with events given twice; and by the ledger. Equal to the nano-dollar, or exit 1, as where
 * nothing was given twice.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiError, createClient } from '../../client/client.ts';
import { startStack } from '../../deployment/local/stack.ts';
import { loadConfig } from '../../platform/config/load.ts';
import { armFailPoints } from '../../platform/fail-points.ts';
import { createLifecycle } from '../../platform/lifecycle.ts';
import { createKey } from '../../platform/postgres/api-keys.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { openServedModels } from '../../platform/prices/served-models.ts';
import { createLogger } from '../../platform/telemetry/logging.ts';
import { auditLedger } from '../../projector/ledger/audit.ts';
import { projectBatch } from '../../projector/project-batch.ts';
import { createProjectionStore } from '../../projector/projection-store.ts';
import { RebuildBusyError, rebuild } from '../../projector/rebuild/rebuild.ts';
import { until } from '../kit/until.ts';

export type TraceOptions = { speedUp: number; limit: number };

type Request = { atMs: number; inputTokens: number; outputTokens: number; user: string; model: string };
type Sums = { prompts: number; inputTokens: number; outputTokens: number; nanoUsd: bigint };

/** List prices in nano-USD a token, written down here by hand: the comparison must not use the code it checks. */
const PRICES: Record<string, { input: bigint; output: bigint }> = {
  'gemini-2.5-flash': { input: 300n, output: 2_500n },
  'gemini-2.5-flash-lite': { input: 100n, output: 400n },
  'gemini-2.5-pro': { input: 1_250n, output: 10_000n },
  'gemini-3.5-flash': { input: 1_500n, output: 9_000n },
};
const MODELS = Object.keys(PRICES);
const USERS = 25;
const IN_FLIGHT = 64;

export function readTrace(limit: number): Request[] {
  const [, ...lines] = readFileSync(new URL('../data/azure-llm-2023-conv.csv', import.meta.url), 'utf8')
    .trim()
    .split('\n');
  const times = lines.map((line) => Date.parse(`${line.slice(0, 10)}T${line.slice(11, 23)}Z`));
  return lines.slice(0, limit).map((line, i) => {
    const [, input, output] = line.trim().split(',');
    return {
      atMs: times[i]! - times[0]!,
      inputTokens: Number(input),
      outputTokens: Number(output),
      user: `user-${i % USERS}`,
      model: MODELS[(i * 7) % MODELS.length]!,
    };
  });
}

function directSums(requests: Request[], key: 'user' | 'model'): Map<string, Sums> {
  const sums = new Map<string, Sums>();
  for (const request of requests) {
    const sum = sums.get(request[key]) ?? { prompts: 0, inputTokens: 0, outputTokens: 0, nanoUsd: 0n };
    const price = PRICES[request.model]!;
    sum.prompts += 1;
    sum.inputTokens += request.inputTokens;
    sum.outputTokens += request.outputTokens;
    sum.nanoUsd += BigInt(request.inputTokens) * price.input + BigInt(request.outputTokens) * price.output;
    sums.set(request[key], sum);
  }
  return sums;
}

export async function runTrace({ speedUp, limit }: TraceOptions): Promise<boolean> {
  const requests = readTrace(limit);
  const projectDir = join(import.meta.dirname, '../..');
  const dataDir = mkdtempSync(join(tmpdir(), 'orchestrator-trace-'));
  const config = loadConfig('embedded', { PORT: '0', NUMBER_OF_WORKERS: '200', DATA_DIR: dataDir, LOG_LEVEL: 'warn' });
  const logger = createLogger({ service: 'trace', level: 'warn' });
  const lifecycle = createLifecycle({ graceSeconds: 30, logger });
  process.once('SIGINT', () => void lifecycle.stop().then(() => process.exit(130)));
  try {
    const stack = await startStack({
      config,
      served: openServedModels(config),
      projectDir,
      dataDir,
      lifecycle,
      logger,
      version: 'bench',
    });
    const admin = createClient({ baseUrl: stack.address, apiKey: readFileSync(stack.keyFile, 'utf8').trim() });
    const { postgresUri } = JSON.parse(readFileSync(join(dataDir, 'stack.json'), 'utf8')) as { postgresUri: string };
    const second = startProjector(postgresUri);
    const startedAt = performance.now();
    await replay(requests, speedUp, stack.address, await userKeys(postgresUri));
    const askedSeconds = (performance.now() - startedAt) / 1000;
    await until(
      'every prompt has ended',
      async () => {
        const { data } = await admin.stats<{ completed: number }>('users');
        return data.reduce((sum, row) => sum + row.completed, 0) === requests.length;
      },
      120_000,
    );
    const allSeconds = (performance.now() - startedAt) / 1000;
    console.log(
      `${requests.length} requests asked in ${askedSeconds.toFixed(1)} s, all in the read models after ${allSeconds.toFixed(1)} s`,
    );
    const { folded, inVain } = await second.stop();
    const tokens = (name: 'inputTokens' | 'outputTokens') => requests.reduce((sum, request) => sum + request[name], 0);
    console.log(`file: ${tokens('inputTokens')} context tokens, ${tokens('outputTokens')} generated tokens`);
    console.log(`a second projector folded ${folded} batches, and ${inVain} that the first one was quicker with`);
    const live = await compare('live', admin, requests);
    await rebuilt(postgresUri, 'whole');
    const again = await compare('rebuilt', admin, requests);
    const { crashes, twice } = await rebuilt(postgresUri, 'crashing');
    const what = `rebuilt, broken off ${crashes} times, ${twice} events given twice`;
    const redelivered = (await compare(what, admin, requests)) && twice > 0;
    return live && inVain > 0 && again && redelivered && (await ledgerAgrees(postgresUri, requests));
  } finally {
    await lifecycle.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function replay(requests: Request[], speedUp: number, baseUrl: string, keys: Map<string, string>): Promise<void> {
  const clients = new Map([...keys].map(([user, apiKey]) => [user, createClient({ baseUrl, apiKey })]));
  const startedAt = performance.now();
  let next = 0;
  const sender = async () => {
    for (let i = next++; i < requests.length; i = next++) {
      const { atMs, inputTokens, outputTokens, user, model } = requests[i]!;
      const pause = atMs / speedUp - (performance.now() - startedAt);
      if (pause > 1) await new Promise((resolve) => setTimeout(resolve, pause));
      const directive = JSON.stringify({ inputTokens, outputTokens, text: `answer ${i}` });
      const body = { prompt: `request ${i} [[emulate ${directive}]]`, model };
      await patiently(() => clients.get(user)!.ask(body, { idempotencyKey: `trace-${i}` }));
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, sender));
}

/** What cannot be taken right now is asked again with its key. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let left = 20; ; left -= 1) {
    try {
      return await ask();
    } catch (error) {
      if (left === 0 || !(error instanceof ApiError) || error.status !== 503) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

async function userKeys(postgresUri: string): Promise<Map<string, string>> {
  const pool = createPool({
    uri: postgresUri,
    name: 'trace',
    max: 1,
    onError: (error) => console.error(error.message),
  });
  const keys = new Map<string, string>();
  for (let i = 0; i < USERS; i += 1) {
    const { key } = await createKey(pool, { userId: `user-${i}`, role: 'user', name: 'trace', expiresAt: null });
    keys.set(`user-${i}`, key);
  }
  await pool.end();
  return keys;
}

/** Another one beside that of the stack: both read the same events, and one of both moves the cursor. */
function startProjector(uri: string): { stop: () => Promise<{ folded: number; inVain: number }> } {
  const pool = createPool({ uri, name: 'trace', max: 2, onError: (error) => console.error(error.message) });
  let stopping = false;
  let [folded, inVain] = [0, 0];
  const running = (async () => {
    const { rows } = await pool.query<{ version: number }>('SELECT version FROM live_projection');
    const store = createProjectionStore(pool, rows[0]!.version);
    while (!stopping) {
      const { status } = await projectBatch({ store, batchSize: 1_000, onPoison: 'stop' });
      if (status === 'moved') folded += 1;
      else if (status === 'behind') inVain += 1;
      else await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return { folded, inVain };
  })();
  running.catch(() => {}); // heard when it is stopped
  return {
    stop: async () => {
      stopping = true;
      try {
        return await running;
      } finally {
        await pool.end();
      }
    },
  };
}

const LANES = 4;
const WRITES_TO_A_CRASH = 15;

/**
 * `crashing`: every so many writes of a lane one of them fails while the others commit, and the process dies, as far as
 * anybody can tell; it is begun again, and reads from the slowest lane on. `twice`: events given to a lane that has them.
 */
async function rebuilt(uri: string, how: 'whole' | 'crashing'): Promise<{ crashes: number; twice: number }> {
  const pool = createPool({ uri, name: 'trace', max: 1, onError: (error) => console.error(error.message) });
  let [writes, crashes, twice] = [0, 0, 0];
  armFailPoints((name) => {
    if (how === 'whole' || name !== 'rebuild.lane_moved') return;
    writes += 1;
    if (writes % WRITES_TO_A_CRASH !== LANES - 1) return;
    crashes += 1;
    throw new Error('crashed');
  });
  try {
    for (;;) {
      try {
        const options = { uri, dryRun: false, lanes: LANES, batchSize: 1_000 };
        const { outcome } = await rebuild({ ...options, onProgress: () => {} });
        if (outcome !== 'switched') throw new Error(`the rebuild was ${outcome}: it is not equal to what is served`);
        return { crashes, twice };
      } catch (error) {
        if (error instanceof RebuildBusyError) continue; // the server lets go of its lock a moment later
        if ((error as Error).message !== 'crashed') throw error;
        const { rows } = await pool.query<{ twice: number }>(GIVEN_AGAIN, [LANES]);
        twice += rows[0]!.twice;
      }
    }
  } finally {
    armFailPoints(() => {});
    await pool.end();
  }
}

/** Events between the slowest lane and the one that has them: `laneOf` of lanes.ts in SQL. */
const GIVEN_AGAIN = `SELECT count(*) AS twice
  FROM cursor l JOIN event e ON 1 + get_byte(uuid_send(e.stream_id), 15) % $1::integer = l.lane
 WHERE l.lane > 0 AND e.position <= l.position AND e.position > (SELECT min(position) FROM cursor WHERE lane > 0)`;

async function ledgerAgrees(uri: string, requests: Request[]): Promise<boolean> {
  const pool = createPool({ uri, name: 'trace', max: 1, onError: (error) => console.error(error.message) });
  try {
    const audit = await until('an audit', () => auditLedger(pool));
    const total = [...directSums(requests, 'model').values()].reduce((sum, one) => sum + one.nanoUsd, 0n);
    const equal = audit.sums === 0 && BigInt(audit.totals.confirmed) === total && audit.totals.wasted === 0;
    console.log(
      `ledger: ${audit.totals.confirmed} nano-USD confirmed, ${audit.sums} sums differ: ${equal ? 'equal' : 'DIFFERENT'}`,
    );
    return equal;
  } finally {
    await pool.end();
  }
}

type Cost = { nanoUsd: number };
type UserRow = {
  userId: string;
  prompts: number;
  inputTokens: number;
  outputTokens: number;
  cost: { confirmed: Cost; wasted: Cost; unknownBound: Cost };
};
type ModelRow = { model: string; prompts: number; inputTokens: number; outputTokens: number; cost: Cost };

async function compare(what: string, admin: ReturnType<typeof createClient>, requests: Request[]): Promise<boolean> {
  const users = (await admin.stats<UserRow>('users')).data.map((row) => ({
    ...row,
    name: row.userId,
    nanoUsd: row.cost.confirmed.nanoUsd,
    other: row.cost.wasted.nanoUsd + row.cost.unknownBound.nanoUsd,
  }));
  const models = (await admin.stats<ModelRow>('models')).data.map((row) => ({
    ...row,
    name: row.model,
    nanoUsd: row.cost.nanoUsd,
    other: 0,
  }));
  let equal = true;
  for (const [title, rows, sums] of [
    ['user', users, directSums(requests, 'user')],
    ['model', models, directSums(requests, 'model')],
  ] as const) {
    const faults = rows.filter((row) => {
      const sum = sums.get(row.name);
      const same =
        sum &&
        sum.prompts === row.prompts &&
        sum.inputTokens === row.inputTokens &&
        sum.outputTokens === row.outputTokens;
      return !same || sum.nanoUsd !== BigInt(row.nanoUsd) || row.other !== 0;
    });
    const right = faults.length === 0 && rows.length === sums.size;
    equal &&= right;
    const total = [...sums.values()].reduce((sum, one) => sum + one.nanoUsd, 0n);
    console.log(
      `${what}, per ${title}: ${rows.length} rows, ${total} nano-USD by direct sum: ${right ? 'equal to the nano-dollar' : `DIFFERENT in ${faults.map(({ name }) => name).join(', ')}`}`,
    );
  }
  return equal;
}
