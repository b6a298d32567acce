/** A system whose log has lost its beginning to an archive: what clients are told is what they were told before. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { archiveLog } from '../../cli/archiving/archive-log.ts';
import type { Prompt } from '../../contracts/http/queries.ts';
import { readBounds } from '../../platform/postgres/read.ts';
import { auditLedger } from '../../projector/ledger/audit.ts';
import { createLog, folder } from '../kit/archived-log.ts';
import { cleanup } from '../kit/cleanup.ts';
import { subscribe } from '../kit/feed.ts';
import { run } from '../kit/process.ts';
import { MODELS, randomLog, writeLog } from '../kit/random-log.ts';
import { type Client, startTestStack, type TestStack } from '../kit/stack.ts';
import { until } from '../kit/until.ts';
import { createProbe, type Probe } from './http-edges-probe.ts';
import { completed, fail } from './redrive-bulk-prompts.ts';

const t = cleanup(after);
const model = 'gemini-2.5-flash';
const dir = folder(t);
let stack: TestStack;
let key: string;
let rootKey: string;
let ada: Client;
let bob: Client;
let root: Client;
let as: Probe;
let floor: number;
/** As it was answered before the archive. */
let then: { pages: unknown[]; prompts: Prompt[] };
let ids: { done: string[]; cancelled: string; failed: string; scheduled: string };

const PAGES = [
  '/prompts?limit=200',
  '/prompts?q=question',
  '/stats/users',
  '/stats/models',
  '/stats/usage?bucket=hour&groupBy=status',
  '/stats/latency',
  '/ledger',
];
const pages = async () => Promise.all(PAGES.map(async (path) => (await as.send('GET', path)).body));
const toolOn =
  (uri: string) =>
  async (name: string, ...args: string[]): Promise<string> => {
    const running = run(t, [`cli/${name}.ts`, ...args], { POSTGRES_URI: uri, DATA_DIR: dir });
    assert.equal(await running.exit, 0, running.said());
    return running.said();
  };
const position = async () => (await readBounds(stack.database.pool)).head;

before(async () => {
  stack = await startTestStack(t, { archiveDir: dir });
  [key, rootKey] = [await stack.key('ada'), await stack.key('root', 'admin')];
  as = createProbe(stack, key);
  [ada, bob, root] = [await stack.client('ada'), await stack.client('bob'), await stack.client('root', 'admin')];
  const asked = await Promise.all(
    [1, 2, 3].map((n) => ada.ask({ prompt: `question ${n}`, model }, { idempotencyKey: `key-${n}` })),
  );
  for (const { id } of asked) await ada.prompt(id, { wait: 20 });
  const soon = new Date(Date.now() + 3_600_000).toISOString();
  const [scheduled, cancelled] = [
    await ada.ask({ prompt: 'question for later', model, notBefore: soon }),
    await ada.ask({ prompt: 'question to nobody', model, notBefore: soon }),
  ];
  await ada.cancel(cancelled.id);
  const failed = await fail(ada, { model });
  ids = { done: asked.map(({ id }) => id), cancelled: cancelled.id, failed: failed.id, scheduled: scheduled.id };
  const head = await position();
  await ada.prompts({ minPosition: head });
  await until('the ledger is posted', async () => (await as.send('GET', '/ledger')).body.position === head);
  const prompts = [...ids.done, ids.cancelled, ids.failed, ids.scheduled].map((id) => ada.prompt(id));
  then = { pages: await pages(), prompts: await Promise.all(prompts) };
  const archived = await archiveLog({
    uri: stack.database.uri,
    before: { position: head + 1 },
    dir,
    dryRun: false,
    keepSeconds: 0,
  });
  assert.deepEqual([archived.floor, archived.left.streams, archived.left.kept], [head, 4, { open: 1, failed: 1 }]);
  floor = archived.floor;
});

describe('once its log begins later', () => {
  test('lists, statistics and prompts are as they were', async () => {
    assert.deepEqual(await pages(), then.pages);
    for (const prompt of then.prompts) assert.deepEqual(await ada.prompt(prompt.id, { wait: 0 }), prompt);
  });

  test('an ask with a key of before is the same ask, and another body is refused', async () => {
    const send = (prompt: string) => as.ask(JSON.stringify({ prompt, model }), { 'idempotency-key': 'key-2' });
    const same = await send('question 2');
    assert.deepEqual([same.status, same.header('idempotency-replayed')], [202, 'true']);
    assert.equal(same.body.id, ids.done[1]);
    assert.equal((await send('question two')).body.code, 'idempotency_key_reused');
  });

  test('commands are answered as before: 409 for what has ended, 404 for another’s', async () => {
    const change = async (id: string, what: string) => {
      const { status, body } = await as.send('POST', `/prompts/${id}/${what}`);
      return [status, body.code, body.detail];
    };
    assert.deepEqual(await change(ids.done[0]!, 'cancel'), [409, 'wrong_state', 'the prompt is completed']);
    assert.deepEqual(await change(ids.cancelled, 'cancel'), [409, 'wrong_state', 'the prompt is cancelled']);
    assert.deepEqual(await change(ids.done[0]!, 'retry'), [409, 'wrong_state', 'the prompt is completed']);
    await assert.rejects(bob.cancel(ids.done[0]!), { status: 404 });
    await assert.rejects(root.cancel(ids.done[0]!), { status: 409 });
  });

  test('the ledger has its entries, of any time, and agrees with the sums', async () => {
    type Entries = { data: { promptId: string; reservedAt: string }[] };
    const entries = async (query: string) => JSON.parse((await as.send('GET', `/ledger${query}`)).text) as Entries;
    const { data } = await entries('');
    const [first, last] = [data.at(-1)!, data[0]!];
    assert.deepEqual((await entries(`?from=${first.reservedAt}`)).data, data);
    const earlier = data.filter(({ reservedAt }) => reservedAt < last.reservedAt);
    assert.deepEqual((await entries(`?to=${last.reservedAt}`)).data, earlier);
    assert.ok(earlier.length > 0);
    assert.equal((await auditLedger(stack.database.pool))?.sums, 0);
    const put = (id: string) =>
      createProbe(stack, rootKey).send('PUT', `/prompts/${id}/attempts/1/cost`, {
        body: JSON.stringify({ nanoUsd: 7, reason: 'an invoice' }),
        headers: { 'content-type': 'application/json' },
      });
    const refused = await put(ids.done[0]!);
    assert.deepEqual([refused.status, refused.body.code], [410, 'archived']);
    assert.equal((await put('019aaf00-0000-7000-8000-000000000000')).status, 404);
  });

  test('the timeline of what has left is 410 to whoever may read it, that of all others whole', async () => {
    const timeline = (id: string) => as.send('GET', `/prompts/${id}/events`);
    const gone = await timeline(ids.done[0]!);
    assert.deepEqual([gone.status, gone.body.code], [410, 'archived']);
    const kept = JSON.parse((await timeline(ids.failed)).text) as { data: { type: string }[] };
    assert.deepEqual(
      kept.data.map(({ type }) => type),
      ['PromptSubmitted', 'AttemptStarted', 'AttemptFailed', 'PromptFailed'],
    );
    assert.equal(
      (await createProbe(stack, await stack.key('eve')).send('GET', `/prompts/${ids.done[0]}/events`)).status,
      404,
    );
  });

  test('one can look back to the floor exactly, and no further', async () => {
    const at = async (path: string, asOf: string | number) =>
      as.send('GET', `${path}${path.includes('?') ? '&' : '?'}asOf=${asOf}`);
    await ada.ask({ prompt: 'after the archive', model, notBefore: '2099-01-01T00:00:00Z' });
    const users = then.pages[2] as { data: unknown };
    assert.deepEqual(JSON.parse((await at('/stats/users', floor)).text).data, users.data);
    assert.deepEqual(JSON.parse((await at('/prompts?limit=200', floor)).text), then.pages[0]);
    for (const prompt of then.prompts)
      assert.deepEqual(JSON.parse((await at(`/prompts/${prompt.id}`, floor)).text), prompt);
    for (const path of [`/prompts/${ids.done[0]}`, '/prompts', '/stats/users', '/stats/usage?groupBy=model']) {
      for (const asOf of [floor - 1, then.prompts[0]!.submittedAt]) {
        const { status, body } = await at(path, asOf);
        assert.deepEqual([path, status, body.code], [path, 410, 'archived']);
      }
      assert.equal((await at(path, '2020-01-01T00:00:00Z')).body.code, 'invalid_request', 'before the first event');
      assert.equal((await at(path, 0)).body.code, 'invalid_request');
    }
  });

  test('a feed that asks for a position before it is told to read anew, that of one prompt there goes on', async () => {
    const feed = await subscribe(stack.address, key, { after: 1 });
    await until('it is told so', () => feed.frames.some(({ type }) => type === 'resync'));
    assert.equal(feed.events().length, 0);
    const one = await subscribe(stack.address, key, { after: 1, promptId: ids.failed });
    await one.event('its end', ({ event }) => event === 'PromptFailed');
    const left = await subscribe(stack.address, key, { after: 1, promptId: ids.done[0]! });
    await until('it is told so', () => left.frames.some(({ type }) => type === 'resync'));
    const { id } = await ada.ask({ prompt: 'heard of', model });
    await feed.event('the end of a new one', ({ event, promptId }) => promptId === id && event === 'PromptCompleted');
    for (const each of [feed, one, left]) each.close();
  });

  test('a failed prompt is sent again, and what was open goes on', async () => {
    await ada.retry(ids.failed);
    await completed(ada, { id: ids.failed });
    await ada.cancel(ids.scheduled);
    assert.equal((await ada.prompt(ids.scheduled, { wait: 5 })).status, 'cancelled');
  });

  test('an admin’s rebuild reads the archive', async () => {
    const { id } = await root.rebuild('prompts');
    const ended = await until('it has ended', async () => {
      const last = (await root.projections()).data[0]!.lastRebuild;
      return last?.id === id ? last : null;
    });
    assert.deepEqual([ended.outcome, ended.error], ['switched', null]);
  });

  test('the tools say what is wrong in one sentence', async () => {
    for (const [args, message] of [
      [
        ['replay', '--projection', 'ledger'],
        /^Events up to position \d+ are archived: say where, with --archive DIR or ARCHIVE_DIR\.$/,
      ],
      [['replay'], /^Events up to position \d+ are archived: say where, with --archive DIR or ARCHIVE_DIR\.$/],
      [['archive', '--before', 'lunch', '--to', dir], /neither a position nor a time/],
      [['archive', '--before', '3'], /^Say where to, with --to DIR or ARCHIVE_DIR\.$/],
      [['archive', '--before', '999999', '--to', dir], /^The log ends at position \d+\.$/],
      [['archive', '--before', String(floor + 2), '--to', dir], /what is younger than 60 minutes stays\.$/],
    ] as const) {
      const [tool, ...rest] = args;
      const running = run(t, [`cli/${tool}.ts`, ...rest], { POSTGRES_URI: stack.database.uri, DATA_DIR: dir });
      assert.equal(await running.exit, 1, running.said());
      assert.match(running.said().trim(), message);
    }
    assert.equal((await auditLedger(stack.database.pool))?.sums, 0, 'the ledger is as it was');
  });

  test('the tools go on', async () => {
    const tool = toolOn(stack.database.uri);
    const again = await tool('archive', '--before', String(floor + 1), '--to', dir, '--dry-run');
    assert.match(
      again,
      /^leaving: .*\nNothing more would be archived; \d+ streams? with \d+ events? would leave the log/m,
    );
    assert.match(await tool('replay', '--dry-run', '--archive', dir), /equal to version \d+; dropped/);
    assert.match(
      await tool('replay', '--projection', 'ledger', '--archive', dir),
      /^The ledger at position \d+ is what the log gives\.\nAll sums of the read models agree with it\.$/m,
    );
  });
});

test('an old log is archived by age, and replayed', async () => {
  const log = await createLog(t);
  const [from, to] = [Date.parse('2026-01-01T00:00:00Z'), Date.parse('2026-03-01T00:00:00Z')];
  const events = randomLog({ seed: 17, prompts: 120, users: 4, from, to });
  await writeLog(log.database, events);
  await log.project();
  const tool = toolOn(log.database.uri);
  const said = await tool('archive', '--before', '2026-02-01T00:00:00Z', '--to', log.dir);
  const last = events.findLast(({ recordedAt }) => recordedAt < '2026-02-01T00:00:00.000Z')!;
  assert.match(
    said,
    new RegExp(`^Archived up to position ${last.position}\\. 1 segment written, \\d+ bytes\\. \\d+ streams`, 'm'),
  );
  assert.match(said, /these stay: .*failed, which may be sent again/);
  assert.match(await tool('replay', '--archive', log.dir), /equal to version 1, and served now/);
  const told = await tool('replay', '--what-if', MODELS[2], '--dry-run', '--json', '--archive', log.dir);
  // On a slow machine progress comes before it: both outputs are handed over in one.
  const rated = JSON.parse(told.slice(told.indexOf('{'))) as { position: number };
  assert.equal(rated.position, events.length);
});
