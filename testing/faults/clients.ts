/** Users who ask, cancel, redrive and read, and write down what they were told: what a run is judged by. */
import { createHash } from 'node:crypto';
import type { RetryPolicy } from '../../contracts/prompt/events.ts';
import type { Random } from '../kit/random.ts';
import type { Operation } from './evidence.ts';
import type { Fleet } from './fleet.ts';

export type AskOptions = {
  retry?: RetryPolicy;
  /** Directive for the emulator. */
  emulate?: object;
  fields?: object;
  /** Idempotency-Key; asked again with it until the answer is known. */
  key?: string;
};

export type Clients = {
  operations: Operation[];
  ask: (user: string, options?: AskOptions) => Promise<Operation>;
  cancel: (user: string, promptId: string) => Promise<Operation>;
  retry: (user: string, promptId: string) => Promise<Operation>;
  read: (user: string, promptId: string) => Promise<Operation>;
  /** Asks and everything else, at a rate, until it is told to stop; resolves when the last request has its answer. */
  load: (perSecond: number) => { stop: () => Promise<void> };
  /** Prompts that were seen to fail: redriven by `load`. */
  failed: (user: string, promptId: string) => void;
};

const CANARY = /canary-([a-z]+)-/g;
export const canariesIn = (text: string): string[] => [
  ...new Set([...text.matchAll(CANARY)].map((match) => match[1]!)),
];

const GIVE_UP_MS = 8_000;
/** With a key; longer than all of a service's processes need to come up on a busy machine. */
const KEEPS_ASKING_MS = 30_000;

export function createClients(fleet: Fleet, random: Random): Clients {
  const operations: Operation[] = [];
  const keys = new Map(fleet.users.map((user) => [user.name, user.key]));
  const names = fleet.users.filter((user) => !user.isAdmin).map((user) => user.name);
  const failures: { user: string; promptId: string }[] = [];
  let count = 0;

  type Request = Pick<Operation, 'user' | 'kind'> & Partial<Operation> & { path: string; body?: object };
  async function send({ path, body, ...known }: Request): Promise<Operation> {
    const { user, kind, key = null } = known;
    const base = random.pick(kind === 'read' ? fleet.queryApis : fleet.commandApis);
    const operation: Operation = {
      invokedAt: Date.now(),
      completedAt: 0,
      outcome: 'unknown',
      status: null,
      retryAfter: null,
      code: null,
      promptId: null,
      bodyHash: null,
      retry: null,
      replayed: false,
      told: null,
      canariesOf: [],
      ...known,
      key,
    };
    operations.push(operation);
    try {
      const response = await fetch(`${base}${path}`, {
        method: body ? 'POST' : 'GET',
        headers: {
          authorization: `Bearer ${keys.get(user)}`,
          ...(body && { 'content-type': 'application/json' }),
          ...(key && { 'idempotency-key': key }),
        },
        ...(body && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(GIVE_UP_MS),
      });
      const text = await response.text();
      const told = (text.startsWith('{') ? JSON.parse(text) : {}) as { id?: string; code?: string; status?: unknown };
      operation.status = response.status;
      operation.outcome = response.ok ? 'ok' : response.status < 500 ? 'fail' : 'unknown';
      operation.retryAfter = response.headers.get('retry-after');
      operation.replayed = response.headers.get('idempotency-replayed') === 'true';
      operation.code = told.code ?? null;
      operation.told = typeof told.status === 'string' ? told.status : null;
      if (kind === 'ask' && response.ok) operation.promptId = told.id ?? null;
      operation.canariesOf = canariesIn(text + [...response.headers.values()].join(' '));
    } catch (error) {
      // No answer: refused, reset, or none in time. It stays unknown, which is what the history says.
      if (!(error instanceof TypeError || (error as Error).name === 'TimeoutError' || error instanceof SyntaxError))
        throw error;
    }
    operation.completedAt = Date.now();
    return operation;
  }

  async function ask(user: string, { retry = 'auto', emulate, fields, key }: AskOptions = {}): Promise<Operation> {
    count += 1;
    const directive = emulate ? ` [[emulate ${JSON.stringify(emulate)}]]` : '';
    const prompt = `canary-${user}-${count} what is the sea?${directive}`;
    const body = { prompt, retry, ...(random.chance(0.3) && { model: 'gemini-2.5-pro' }), ...fields };
    const bodyHash = createHash('sha256').update(JSON.stringify(body)).digest('hex');
    const request: Request = { user, kind: 'ask', path: '/ask', body, bodyHash, retry, ...(key && { key }) };
    let operation = await send(request);
    const givenUpAt = performance.now() + KEEPS_ASKING_MS;
    while (key && operation.outcome === 'unknown' && performance.now() < givenUpAt) {
      await pause(random.between(100, 600));
      operation = await send(request);
    }
    if (key && operation.outcome === 'ok' && random.chance(0.1)) {
      await Promise.all([
        send(request),
        send({ ...request, body: { ...body, prompt: `${prompt}!` }, bodyHash: `${bodyHash}!` }),
      ]);
    }
    return operation;
  }
  const cancel: Clients['cancel'] = (user, promptId) =>
    send({ user, kind: 'cancel', path: `/prompts/${promptId}/cancel`, body: {}, promptId });
  const retry: Clients['retry'] = (user, promptId) =>
    send({ user, kind: 'retry', path: `/prompts/${promptId}/retry`, body: { reason: 'again' }, promptId });
  const read: Clients['read'] = (user, promptId) =>
    send({ user, kind: 'read', path: `/prompts/${promptId}`, promptId });

  /** What one user does with one prompt. */
  async function session(): Promise<void> {
    const user = random.pick(names);
    const policy = random.next();
    const operation = await ask(user, {
      retry: policy < 0.7 ? 'auto' : policy < 0.85 ? 'cautious' : 'never',
      ...(random.chance(0.5) && { key: `key-${random.between(0, 1e9)}-${count}` }),
      ...behaviour(random),
    });
    if (operation.outcome !== 'ok' || !operation.promptId) return;
    if (random.chance(0.2)) await read(user, operation.promptId);
    if (random.chance(0.05)) await read(random.pick(names.filter((name) => name !== user)), operation.promptId);
    if (random.chance(0.04)) {
      await pause(random.between(0, 400));
      await cancel(user, operation.promptId);
    }
    const failure = random.chance(0.5) ? failures.pop() : undefined;
    if (failure) await retry(failure.user, failure.promptId);
  }

  return {
    operations,
    ask,
    cancel,
    retry,
    read,
    failed: (user, promptId) => {
      if (names.includes(user)) failures.push({ user, promptId });
    },
    load: (perSecond) => {
      const open = new Set<Promise<void>>();
      const startedAt = performance.now();
      let begun = 0;
      const timer = setInterval(() => {
        const due = ((performance.now() - startedAt) / 1000) * perSecond;
        // Clients wait for their answers: while nothing is answered, not more and more of them come.
        for (; begun < due; begun += 1) {
          if (open.size > 400) continue;
          const one: Promise<void> = session().finally(() => open.delete(one));
          open.add(one);
        }
      }, 20);
      return {
        stop: async () => {
          clearInterval(timer);
          await Promise.all(open);
        },
      };
    },
  };
}

/** Most prompts are plain; some are slow, some fail in every way the emulator knows that costs or not. */
function behaviour(random: Random): AskOptions {
  const kind = random.next();
  if (kind < 0.6) return {};
  if (kind < 0.8) return { emulate: { delayMs: random.between(20, 1_500), outputTokens: random.between(1, 400) } };
  if (kind < 0.87)
    return { emulate: { faults: [random.pick(['503', '429-bare', '500', 'cut-at-event', 'reset-body']), 'ok'] } };
  if (kind < 0.9) return { emulate: { fault: random.pick(['safety', '404', 'max-tokens', 'empty']) } };
  if (kind < 0.93) return { emulate: { chunks: 5, chunkDelayMs: random.between(10, 200) } };
  if (kind < 0.96) return { fields: { notBefore: new Date(Date.now() + random.between(200, 3_000)).toISOString() } };
  if (kind < 0.98) return { fields: { expiresAt: new Date(Date.now() + random.between(1_500, 5_000)).toISOString() } };
  return { fields: { lane: random.pick(['interactive', 'batch']) } };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
