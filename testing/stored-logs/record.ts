/**
 * `npm run record-log`: writes down a log of this release, with every type of event, and what the API answers about it, for
 * later releases to read. Once for a release; a log that is there is never written anew.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Client } from '../../client/client.ts';
import { eventTypes } from '../../contracts/prompt/events.ts';
import { isTerminal } from '../../contracts/prompt/state.ts';
import { createAppender } from '../../platform/postgres/appender.ts';
import { cleanup } from '../kit/cleanup.ts';
import { appendHistory } from '../kit/histories.ts';
import { readLog } from '../kit/log-copy.ts';
import { startTestServers } from '../kit/servers.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { until } from '../kit/until.ts';
import { hashOf, questions, STORED_LOGS, toLines } from './stored-log.ts';

const ROOT = join(import.meta.dirname, '../..');
const MODELS = ['gemini-2.5-flash', 'gemini-2.5-pro', 'gemini-2.5-flash-lite'];
const CONVERSATION = '019aaf00-0000-7000-8000-0000000000c0';
const emulate = (behaviour: object) => `[[emulate ${JSON.stringify(behaviour)}]]`;

const { version: release } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
const folder = join(STORED_LOGS, release);
if (existsSync(folder)) {
  console.error(`${folder} is there: the log of a release is written down once.`);
  process.exit(1);
}
const releases: (() => Promise<void>)[] = [];
const servers = await startTestServers(ROOT);
process.env['TEST_POSTGRES_URI'] = servers.postgresUri;
process.env['TEST_REDIS_URI'] = servers.redisUri;
try {
  const t = cleanup((release) => releases.push(release));
  const budget = () => ({ maxAttempts: 3, baseSeconds: 0, capSeconds: 0, callTimeoutSeconds: 30, random: 0.5 });
  const stack = await startTestStack(t, { budget, env: { LEASE_SECONDS: '5', NUMBER_OF_WORKERS: '20' } });
  await live(stack);
  await write(stack);
} finally {
  for (const release of releases) await release();
  await servers.stop();
}

async function live(stack: TestStack): Promise<void> {
  const users = await Promise.all(['ada', 'grace', 'linus', 'margaret'].map((user) => stack.client(user)));
  for (let n = 0; n < 6; n += 1) await Promise.all(users.map((user, i) => someOf(user, n * users.length + i)));
  // What only a worker that fell silent brings about: attempts lost, and answered late.
  const appender = createAppender({ pool: stack.database.pool, queueLimit: 1_000 });
  for (let n = 0; n < 15; n += 1) await appendHistory(appender.append, n);
  await appender.stop();
}

/** One prompt of each kind, turn about. */
async function someOf(user: Client, n: number): Promise<void> {
  const model = MODELS[n % MODELS.length]!;
  const ask = async (prompt: string, more: object = {}) => (await user.ask({ prompt, model, ...more })).id;
  const ended = (id: string) => user.prompt(id, { wait: 30 });
  const soon = () => new Date(Date.now() + 1_500).toISOString();
  const kinds: (() => Promise<unknown>)[] = [
    async () => ended(await ask(`Why is there a tide? (${n})`)),
    async () =>
      ended(
        await ask(
          `Über Ebbe und Flut 🌊 (${n}) ${emulate({ inputTokens: 374, cachedTokens: 100, thoughtTokens: 70 })}`,
          {
            system: 'Be brief.',
            temperature: 0.3,
            maxOutputTokens: 500,
            conversationId: CONVERSATION,
            lane: 'interactive',
            metadata: { ticket: `T-${n}`, 'the team': 'Küste' },
          },
        ),
      ),
    async () => ended(await ask(`again (${n}) ${emulate({ fault: '503', times: 1 })}`, { lane: 'batch' })),
    async () => ended(await ask(`three times (${n}) ${emulate({ faults: ['500', 'reset', 'cut-at-event'] })}`)),
    async () => ended(await ask(`once (${n}) ${emulate({ fault: 'reset-body' })}`, { retry: 'never' })),
    async () => ended(await ask(`careful (${n}) ${emulate({ fault: 'malformed', times: 1 })}`, { retry: 'cautious' })),
    async () => ended(await ask(`any bytes (${n}) ${emulate({ fault: 'nul-text' })}`)),
    async () => ended(await ask(`no bill (${n}) ${emulate({ fault: 'no-usage' })}`)),
    async () => ended(await ask(`cut (${n}) ${emulate({ fault: 'max-tokens' })}`)),
    async () => {
      const id = await ask(`redriven (${n}) ${emulate({ fault: 'safety', times: 1 })}`);
      await ended(id);
      await user.retryAll({ code: 'blocked' }, 'the filter was wrong');
      await until('it is answered', async () => (await user.prompt(id)).status === 'completed', 30_000);
    },
    async () => user.cancel(await ask(`not now (${n})`, { notBefore: '2190-01-01T00:00:00Z' })),
    async () => {
      const id = await ask(`stopped (${n}) ${emulate({ delayMs: 60_000 })}`);
      await until('it runs', async () => (await user.prompt(id)).status === 'running', 30_000);
      await user.cancel(id);
    },
    async () =>
      ended(await ask(`too late (${n}) ${emulate({ fault: '429', retryDelay: '600s' })}`, { expiresAt: soon() })),
  ];
  // Thirteen kinds and 24 turns of four users: each comes round several times, by several users.
  for (const i of [n, n + 5, n + 9]) await kinds[i % kinds.length]!();
}

async function write(stack: TestStack): Promise<void> {
  const root = await stack.key('root', 'admin');
  const get = async (path: string) => {
    const response = await fetch(new URL(path, stack.address), { headers: { authorization: `Bearer ${root}` } });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as { data?: { status: string }[]; position: number };
  };
  const size = async () =>
    (await stack.database.pool.query<{ n: number }>('SELECT position AS n FROM log_head')).rows[0]!.n;
  await until(
    'all has ended and is folded',
    async () => {
      const { data = [] } = await get('/prompts?limit=200');
      const open = await stack.database.pool.query('SELECT 1 FROM outbox LIMIT 1');
      const ended = data.every(({ status }) => isTerminal(status as never) || status === 'running');
      return ended && open.rowCount === 0 && (await get('/stats/users')).position === (await size());
    },
    60_000,
  );
  const events = await readLog(stack.database.pool);
  const missing = eventTypes.filter((type) => events.every((event) => event.type !== type));
  if (missing.length > 0) throw new Error(`the log has no ${missing.join(', ')}`);
  // This machine's name is part of every worker's.
  const anonymous = (text: string) => text.replaceAll(hostname(), 'host');
  const answers = [];
  for (const path of questions([...new Set(events.map((event) => event.stream_id))])) {
    answers.push({ path, body: JSON.parse(anonymous(JSON.stringify(await get(path)))) as unknown });
  }
  const lines = anonymous(toLines(events));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'events.jsonl'), lines);
  const body = answers.map((answer) => `    ${JSON.stringify(answer)}`).join(',\n');
  writeFileSync(join(folder, 'answers.json'), `{\n  "sha256": "${hashOf(lines)}",\n  "answers": [\n${body}\n  ]\n}\n`);
  console.log(`${folder}: ${events.length} events, ${answers.length} answers`);
}
