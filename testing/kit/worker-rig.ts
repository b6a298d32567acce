/**
 * For the worker's tests: workers over a real Postgres and Redis, with a provider that answers when it is told to.
 * What the relay does is done here by hand, so that every entry of the stream is known.
 */
import type { RecordedEvent } from '../../contracts/envelope.ts';
import { submission } from '../../contracts/prompt/spec.ts';
import { newId } from '../../platform/ids.ts';
import { createAppender } from '../../platform/postgres/appender.ts';
import { laneNumber } from '../../platform/postgres/decision.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { readStreams } from '../../platform/postgres/read.ts';
import { connectRedis, disconnectRedis } from '../../platform/redis/connection.ts';
import { createHintBus } from '../../platform/redis/hints.ts';
import { createTaskStream, WORKERS_GROUP } from '../../platform/redis/tasks.ts';
import { parseRedisUri } from '../../platform/redis/uri.ts';
import { connectWorker, type Worker, type WorkerOptions } from '../../worker/app.ts';
import type { PortOptions } from '../../worker/ports.ts';
import type { Billing, Completed, GenerateRequest, Outcome, Provider } from '../../worker/providers/provider.ts';
import { type After, createTestDatabase } from './database.ts';
import { createTestRedis } from './redis.ts';
import { until } from './until.ts';

export const usage = { inputTokens: 10, cachedInputTokens: 0, outputTokens: 5, thoughtTokens: 1, totalTokens: 16 };
export const billed: Billing = { known: true, usage, rawUsage: { promptTokenCount: 10 } };
export const unbilled: Billing = { known: true, usage: null, rawUsage: null };
/** What `billed` costs at the price of every worker made here. */
export const NANO_USD = 16;

export const completed = (answer = 'an answer', more: Partial<Completed> = {}): Completed => ({
  type: 'completed',
  answer,
  finishReason: 'STOP',
  truncated: false,
  billing: billed,
  modelVersion: 'm-1',
  emulated: false,
  ...more,
});

export type Call = {
  request: GenerateRequest;
  promptId: string;
  signal: AbortSignal;
  /** The provider's answer; an error makes it throw. */
  end: (outcome: Outcome | Error) => void;
};

export type Script = { provider: Provider; calls: Call[]; of: (promptId: string) => Call[] };

/**
 * Every call is held until the test ends it. `onCall` runs when it begins; an outcome from it ends the call at once.
 * Calls do not hear their signal: the test decides what an aborted call does.
 */
export function createScript(
  onCall: (call: Call) => Promise<Outcome | undefined> | Outcome | undefined = () => undefined,
): Script {
  const calls: Call[] = [];
  const generate: Provider['generate'] = async (request, { signal }) => {
    let end: Call['end'] = () => {};
    const ended = new Promise<Outcome>((resolve, reject) => {
      end = (outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome));
    });
    const call: Call = { request, promptId: request.attemptId.split('/')[0] ?? '', signal, end };
    calls.push(call);
    const now = await onCall(call);
    return now ?? ended;
  };
  return {
    provider: { name: 'scripted', generate },
    calls,
    of: (promptId) => calls.filter((call) => call.promptId === promptId),
  };
}

export const budget = { maxAttempts: 3, baseSeconds: 0, capSeconds: 0, callTimeoutSeconds: 30, random: 0 };

export type Rig = Awaited<ReturnType<typeof createRig>>;

export async function createRig(t: After) {
  const database = await createTestDatabase(t);
  const redis = await createTestRedis(t);
  // Connections end on purpose in these tests; whoever uses one reports it.
  const heard = () => {};
  const pool = createPool({ uri: database.uri, name: 'worker-test', max: 8, onError: heard });
  t.after(() => pool.end());
  const appender = createAppender({ pool, queueLimit: 10_000 });
  t.after(appender.stop);
  let streams = 0;

  const openRedis = () => {
    const client = connectRedis(parseRedisUri(redis.uri), { name: 'worker-test', onError: heard });
    t.after(async () => disconnectRedis(client));
    return client;
  };
  const commands = openRedis();
  const hints = createHintBus(commands, openRedis(), heard);
  t.after(hints.close);

  /** A `tasks` and a `results` stream of their own, and the workers on them. */
  function createLine() {
    streams += 1;
    const tasksStream = `tasks-${streams}`;
    const resultsStream = `results-${streams}`;
    const tasks = createTaskStream(commands, tasksStream);
    const warnings: { fields: { err?: unknown }; message: string }[] = [];

    /** Accepted and dispatched as the relay would; the answer is the entry it would publish. */
    async function stamp(promptId: string) {
      const { rows } = await database.pool.query<{ dispatch: number; model: string; traceparent: string | null }>(
        `UPDATE outbox SET dispatch = nextval('dispatch_number'), dispatched_at = clock_timestamp()
          WHERE prompt_id = $1 RETURNING dispatch, model, traceparent`,
        [promptId],
      );
      const [row] = rows;
      if (!row) throw new Error(`no row in the outbox: ${promptId}`);
      return { ...row, promptId, lane: 'normal' };
    }

    async function publish(entries: Awaited<ReturnType<typeof stamp>>[]) {
      const { lastId } = await tasks.state();
      const answer = await tasks.publish(entries, lastId);
      if (!answer.published) throw new Error(`the stream was at ${answer.lastId}`);
    }

    return {
      tasksStream,
      resultsStream,
      warnings,
      stamp,
      publish,
      dispatch: async (...promptIds: string[]) => {
        const entries = [];
        for (const promptId of promptIds) entries.push(await stamp(promptId));
        await publish(entries);
        return entries;
      },
      /** Entries given to a worker and not acknowledged. */
      pending: async (consumer?: string) => {
        const range = ['XPENDING', tasksStream, WORKERS_GROUP, '-', '+', '1000'];
        const rows = await redis.client.call(...(range as [string, ...string[]]), ...(consumer ? [consumer] : []));
        return (rows as [id: string, consumer: string, idle: number, deliveries: number][]).map(
          ([id, owner, , deliveries]) => ({ id, owner, deliveries }),
        );
      },
      length: () => redis.client.xlen(tasksStream),
      results: async () =>
        (await redis.client.xrange(resultsStream, '-', '+')).map(([, flat]) =>
          Object.fromEntries(flat.flatMap((name, i) => (i % 2 ? [] : [[name, flat[i + 1]]]))),
        ) as Record<string, string>[],
      /** Started; stopped at the test's end, when what it still runs must come to an end by itself. */
      worker: (
        t: After,
        script: Script,
        over: Partial<WorkerOptions & PortOptions> = {},
      ): Worker & { name: string } => {
        const name = over.name ?? `worker-${newId()}`;
        const log = (fields: object, message: string) => warnings.push({ fields, message });
        const blockingRedis = openRedis();
        const worker = connectWorker({
          name,
          pool,
          append: appender.append,
          redis: commands,
          blockingRedis,
          hints,
          tasksStream,
          resultsStream,
          resultsMaxLength: 1_000,
          provider: script.provider,
          priceOf: (_model, { totalTokens }) => ({ nanoUsd: totalTokens, priceVersion: 'test@2' }),
          slots: 4,
          leaseSeconds: 30,
          callTimeoutSeconds: 30,
          drainSeconds: 30,
          budget: () => budget,
          spool: null,
          now: () => new Date(),
          sleep: (ms) => new Promise((resolve) => setTimeout(resolve, Math.min(ms, 50))),
          logger: { info: () => {}, warn: log, error: log },
          ...over,
        });
        worker.start();
        t.after(async () => {
          const stopped = worker.stop();
          for (const call of script.calls) call.end(completed('ended with the test'));
          await stopped;
          disconnectRedis(blockingRedis);
        });
        return Object.assign(worker, { name });
      },
    };
  }

  async function submit(over: Partial<typeof submission> = {}, traceparent: string | null = null): Promise<string> {
    const promptId = newId();
    const data = { ...submission, ...over };
    const metadata = { correlationId: `request-of-${promptId}`, causationId: null, traceparent, actor: 'user:ada' };
    const { userId: user, model, lane } = data;
    const answer = await appender.append({
      streamId: promptId,
      expectedVersion: 0,
      events: [{ eventId: newId(), type: 'PromptSubmitted', data, metadata }],
      outbox: { op: 'open', user, model, lane: laneNumber(lane), trace: traceparent },
    });
    if (answer.status !== 'appended') throw new Error(JSON.stringify(answer));
    return promptId;
  }

  /** Read on a connection that no worker uses: only what is committed. */
  const events = async (promptId: string): Promise<RecordedEvent[]> =>
    (await readStreams(database.pool, [promptId])).get(promptId) ?? [];

  return {
    database,
    redis,
    pool,
    append: appender.append,
    hints,
    createLine,
    submit,
    events,
    types: async (promptId: string) => (await events(promptId)).map(({ type }) => type),
    row: async (promptId: string) => {
      const { rows } = await database.pool.query<{
        state: string;
        token: string | null;
        dispatch: number | null;
        due_at: string;
      }>('SELECT state, token, dispatch, due_at FROM outbox WHERE prompt_id = $1', [promptId]);
      return rows[0] ?? null;
    },
  };
}

/** The next call of a prompt, or the `nth`. */
export const callOf = (script: Script, promptId: string, nth = 1): Promise<Call> =>
  until(`call ${nth} of ${promptId}`, () => script.of(promptId)[nth - 1]);

/** Settled, told, acknowledged and deleted. */
export const allDone = (line: ReturnType<Rig['createLine']>): Promise<boolean> =>
  until('no entry is left', async () => (await line.length()) === 0 && (await line.pending()).length === 0);
