/** Users who ask, cancel, redrive and read, and write down what they were told: what a run is judged by. */

import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { RetryPolicy } from '../../contracts/prompt/events.ts';
import type { Random } from '../kit/random.ts';
import type { FeedConnection, Operation } from './evidence.ts';
import type { Fleet } from './fleet.ts';
import { createReaders, type Readers } from './readers.ts';
import { createRequests, type Request, type Requests } from './requests.ts';

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
  /** Server-sent events that users followed for a moment. */
  streams: FeedConnection[];
  ask: (user: string, options?: AskOptions) => Promise<Operation>;
  /** An ask as it would be sent. */
  compose: (user: string, options?: AskOptions) => Request;
  /** Sent; with a key again and again, until the answer is known. */
  settle: (request: Request) => Promise<Operation>;
  leave: Requests['leave'];
  cancel: (user: string, promptId: string) => Promise<Operation>;
  retry: (user: string, promptId: string) => Promise<Operation>;
  read: Readers['read'];
  /** At something of their own, in any way there is. */
  look: Readers['look'];
  /** Asks and everything else, at a rate, until it is told to stop; resolves when the last request has its answer. */
  load: (perSecond: number) => { stop: () => Promise<void> };
  /** Prompts that were seen to fail: redriven by `load`. */
  failed: (user: string, promptId: string) => void;
};

/** With a key; longer than all of a service's processes need to come up on a busy machine. */
const KEEPS_ASKING_MS = 30_000;
const LONGEST_WAIT_MS = 5_000;

export function createClients(fleet: Fleet, random: Random, gateway: string | null = null): Clients {
  const requests = createRequests(fleet, random, gateway);
  const { operations, send } = requests;
  const readers = createReaders(fleet, random, requests);
  const names = fleet.users.filter((user) => !user.isAdmin).map((user) => user.name);
  const failures: { user: string; promptId: string }[] = [];
  let count = 0;

  const compose: Clients['compose'] = (user, { retry = 'auto', emulate, fields, key } = {}) => {
    count += 1;
    const directive = emulate ? ` [[emulate ${JSON.stringify(emulate)}]]` : '';
    const prompt = `canary-${user}-${count} what is the sea?${directive}`;
    const body = { prompt, retry, ...(random.chance(0.3) && { model: 'gemini-2.5-pro' }), ...fields };
    return { user, kind: 'ask', path: '/ask', body, ...hashes(body), retry, ...(key && { key }) };
  };

  async function settle(request: Request): Promise<Operation> {
    let operation = await send(request);
    const givenUpAt = performance.now() + KEEPS_ASKING_MS;
    for (let times = 0; request.key && operation.outcome === 'unknown' && performance.now() < givenUpAt; times += 1) {
      await pause(waitMs(times, operation, random));
      operation = await send(request);
    }
    return operation;
  }

  async function ask(user: string, options: AskOptions = {}): Promise<Operation> {
    const request = compose(user, options);
    const operation = await settle(request);
    if (request.key && operation.outcome === 'ok' && random.chance(0.1)) {
      const body = request.body as { prompt: string };
      const other = { ...body, prompt: `${body.prompt}!` };
      await Promise.all([send(request), send({ ...request, body: other, ...hashes(other) })]);
    }
    return operation;
  }
  const cancel: Clients['cancel'] = (user, promptId) =>
    send({ user, kind: 'cancel', path: `/prompts/${promptId}/cancel`, body: {}, promptId });
  const retry: Clients['retry'] = (user, promptId) =>
    send({ user, kind: 'retry', path: `/prompts/${promptId}/retry`, body: { reason: 'again' }, promptId });
  const { read } = readers;

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
    if (random.chance(0.4)) await readers.look(operation);
    if (random.chance(0.05)) await read(random.pick(names.filter((name) => name !== user)), operation.promptId);
    if (random.chance(0.04)) {
      await pause(random.between(0, 400));
      await readers.look(await cancel(user, operation.promptId));
    }
    const failure = random.chance(0.5) ? failures.pop() : undefined;
    if (failure) await readers.look(await retry(failure.user, failure.promptId));
  }

  return {
    operations,
    streams: readers.streams,
    ask,
    compose,
    settle,
    leave: requests.leave,
    cancel,
    retry,
    read,
    look: readers.look,
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

/** Twice as long after each refusal, and not before the time that was named: hundreds ask while nothing is up. */
function waitMs(times: number, { retryAfter }: Operation, random: Random): number {
  const most = Math.min(LONGEST_WAIT_MS, 400 * 2 ** times);
  return Math.max(Number(retryAfter ?? 0) * 1000, 0) + random.between(most / 4, most);
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const hashes = (body: { prompt: string }) => ({
  bodyHash: sha256(JSON.stringify(body)),
  promptHash: sha256(body.prompt),
});

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
