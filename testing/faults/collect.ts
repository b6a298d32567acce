/** What the servers hold at the end of a run, read past every wire. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createPool } from '../../platform/postgres/pool.ts';
import { createPriceBook } from '../../platform/prices/price-book.ts';
import type { RedisClient } from '../../platform/redis/connection.ts';
import type { BillingEntry } from '../emulator/billing.ts';
import type { DatabaseState, Evidence, LoggedEvent, ProviderCall, ReadPrompt, UserTotals } from './evidence.ts';
import type { Fleet } from './fleet.ts';
import { collectLedger } from './ledger.ts';

export type Cleanliness = { head: number; outbox: number; behind: number; tasks: number; pending: number };

/** All but the head of the log 0: nothing is under way anywhere. */
export async function cleanliness(fleet: Fleet): Promise<Cleanliness> {
  const [row] = await fleet.query<{ head: number; outbox: number; behind: number }>(
    `SELECT (SELECT position::integer FROM log_head) AS head, (SELECT count(*)::integer FROM outbox) AS outbox,
            (SELECT h.position - c.position FROM log_head h, live_projection c WHERE c.name = 'prompts')::integer AS behind`,
  );
  return { head: row?.head ?? -1, outbox: row?.outbox ?? -1, behind: row?.behind ?? -1, ...(await streamState(fleet)) };
}
export const isClean = ({ head: _, ...left }: Cleanliness): boolean => Object.values(left).every((n) => n === 0);

async function withRedis<T>(fleet: Fleet, work: (redis: RedisClient) => Promise<T>): Promise<T> {
  const redis = await fleet.redisServers.connect();
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

export const tasksLength = (fleet: Fleet): Promise<number> => withRedis(fleet, (redis) => redis.xlen('tasks'));

const streamState = (fleet: Fleet): Promise<{ tasks: number; pending: number }> =>
  withRedis(fleet, async (redis) => {
    const tasks = await redis.xlen('tasks');
    if (tasks === 0 && (await redis.exists('tasks')) === 0) return { tasks, pending: 0 };
    const groups = (await redis.xinfo('GROUPS', 'tasks')) as unknown[][];
    const pending = groups.reduce((sum, group) => sum + Number(group[group.indexOf('pending') + 1]), 0);
    return { tasks, pending };
  });

const LOG = `SELECT position, stream_id AS "streamId", version, event_id AS "eventId", type, recorded_at AS "recordedAt",
  (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000)::float8 AS "committedAt",
  data - '{prompt,system,answer,metadata,rawUsage,usage,message}'::text[]
    || CASE WHEN type = 'PromptSubmitted' THEN jsonb_build_object('bodyHash', metadata ->> 'bodyHash',
         'promptHash', encode(sha256(convert_to(data ->> 'prompt', 'UTF8')), 'hex')) ELSE '{}' END AS data FROM event ORDER BY position`;
const PROMPTS = `SELECT prompt_id AS "promptId", user_id AS "userId", status, position,
  json_array_length(state::json -> 14) AS attempts FROM prompt_v:v: ORDER BY prompt_id`;
const TOTALS = `SELECT user_id AS "userId", sum(queued + running + retrying + completed + failed + cancelled + expired)::bigint AS prompts,
  sum(completed)::bigint AS completed, sum(failed)::bigint AS failed, sum(confirmed_nano_usd)::bigint AS confirmed,
  sum(wasted_nano_usd)::bigint AS wasted, sum(unknown_bound_nano_usd)::bigint AS "unknownBound"
  FROM user_usage_v:v: WHERE level = 5 GROUP BY user_id ORDER BY user_id`;
const TABLES = [
  'prompt',
  'prompt_text',
  'usage',
  'user_usage',
  'model_usage',
  'user_number',
  'model_user',
  'model_latency',
  'real_use',
];
const REBUILT = 900;

export async function collectDatabase(fleet: Fleet): Promise<DatabaseState> {
  const { query } = fleet;
  const [live] = await query<{ version: number; position: number }>(
    `SELECT version, position FROM live_projection WHERE name = 'prompts'`,
  );
  const at = (text: string, version = live!.version) => text.replaceAll(':v:', String(version));
  const [log, outbox, parked, prompts, totals] = await Promise.all([
    query<LoggedEvent>(LOG),
    query<DatabaseState['outbox'][number]>('SELECT prompt_id AS "promptId", state, dispatch, token FROM outbox'),
    query<{ id: string }>('SELECT stream_id AS id FROM parked_stream'),
    query<ReadPrompt>(at(PROMPTS)),
    query<UserTotals>(at(TOTALS)),
  ]);
  await foldAnew(fleet);
  const checksums = async (version: number) => {
    const sums: Record<string, string> = {};
    for (const table of TABLES) {
      const [row] = await query<{ sum: string }>(
        `SELECT count(*) || '/' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) AS sum FROM ${table}_v${version} t`,
      );
      sums[table] = row?.sum ?? '';
    }
    return sums;
  };
  const state = {
    log,
    outbox,
    cursor: live!.position,
    parkedStreams: parked.map((row) => row.id),
    prompts,
    totals,
    ledger: await collectLedger(fleet),
    checksums: { live: await checksums(live!.version), rebuilt: await checksums(REBUILT) },
  };
  await query(`DROP TABLE ${TABLES.map((table) => `${table}_v${REBUILT}`).join(', ')}`);
  await query('DELETE FROM cursor WHERE version = $1', [REBUILT]);
  await query('DELETE FROM projection_version WHERE version = $1', [REBUILT]);
  return state;
}

type Batches = typeof import('../../projector/project-batch.ts');
type Stores = typeof import('../../projector/projection-store.ts');

/** The same log into tables of their own, from its first event. */
async function foldAnew(fleet: Fleet): Promise<void> {
  const codeOf = (file: string) => import(pathToFileURL(join(fleet.reader, 'projector', file)).href);
  const { projectBatch } = (await codeOf('project-batch.ts')) as Batches;
  const { createProjectionStore } = (await codeOf('projection-store.ts')) as Stores;
  await fleet.query('SELECT create_prompts_tables_v4($1, false)', [REBUILT]);
  await fleet.query(
    `INSERT INTO projection_version (name, version, status, frozen) VALUES ('prompts', $1, 'building', true)`,
    [REBUILT],
  );
  await fleet.query(`INSERT INTO cursor (name, version) VALUES ('prompts', $1)`, [REBUILT]);
  const pool = createPool({
    uri: fleet.postgres.uri,
    name: 'faults-rebuild',
    max: 4,
    statementTimeoutMs: 60_000,
    transactionTimeoutMs: 60_000,
    onError: () => {}, // a statement that needs the connection rejects
  });
  try {
    const store = createProjectionStore(pool, REBUILT);
    while ((await projectBatch({ store, batchSize: 2_000, onPoison: 'stop' })).status !== 'idle');
  } finally {
    await pool.end();
  }
}

/** Priced as the system prices: a call's cost is what its usage costs at its time. */
export function toCalls(entries: Iterable<BillingEntry>): ProviderCall[] {
  const book = createPriceBook();
  return [...entries].map((entry) => {
    const { usage } = entry;
    const cost =
      usage &&
      book.price(
        entry.model,
        {
          inputTokens: usage.promptTokenCount,
          cachedInputTokens: usage.cachedContentTokenCount ?? 0,
          outputTokens: usage.candidatesTokenCount,
          thoughtTokens: usage.thoughtsTokenCount,
          totalTokens: usage.totalTokenCount,
        },
        new Date(entry.at),
      );
    return {
      at: Date.parse(entry.at),
      attemptId: entry.attemptId,
      billed: entry.billed,
      status: entry.status,
      fault: entry.fault,
      nanoUsd: cost ? cost.nanoUsd : null,
    };
  });
}

export const collectRedis = (fleet: Fleet, longestTasks: number): Promise<Evidence['redis']> =>
  withRedis(fleet, async (redis) => {
    const { tasks, pending } = await streamState(fleet);
    const memory = /used_memory:(\d+)/.exec(await redis.info('memory'))?.[1];
    return {
      tasksLength: tasks,
      tasksPending: pending,
      longestTasks: Math.max(longestTasks, tasks),
      memoryBytes: Number(memory),
    };
  });

/** How often a relay gave dispatch numbers anew, or made the stream anew: as it told in its log. */
export function countResyncs(fleet: Fleet): number {
  const files = readdirSync(fleet.logDir).filter((file) => file.startsWith('command-api'));
  const told = files.map((file) =>
    readFileSync(join(fleet.logDir, file), 'utf8').match(/relay: dispatch numbers given anew/g),
  );
  return told.reduce((sum, found) => sum + (found?.length ?? 0), 0);
}

/** Canary words and keys in logs, metrics, task entries and command lines. */
export async function findSecrets(fleet: Fleet): Promise<Evidence['secretsFound']> {
  const found: Evidence['secretsFound'] = [];
  const look = (where: string, text: string) => {
    if (/canary-(?!provider-key)[a-z]+-\d/.test(text)) found.push({ where, what: 'a prompt’s words' });
    fleet.secrets.forEach((secret, i) => {
      if (secret !== '' && text.includes(secret)) found.push({ where, what: `secret ${i}` });
    });
  };
  for (const file of readdirSync(fleet.logDir)) look(`log ${file}`, readFileSync(join(fleet.logDir, file), 'utf8'));
  for (const [name, port] of fleet.adminPorts) {
    look(`metrics of ${name}`, await (await fetch(`http://127.0.0.1:${port}/metrics`)).text());
  }
  for (const { pid, name } of fleet.supervisor.instances()) {
    if (pid) look(`command line of ${name}`, readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  }
  await withRedis(fleet, async (redis) => {
    for (const stream of ['tasks', 'results']) {
      if (await redis.exists(stream))
        look(`Redis stream ${stream}`, JSON.stringify(await redis.xrange(stream, '-', '+')));
    }
  });
  return found;
}
