/** What an operator sees of a poison event, and does about it: the list, the metric, the tool. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApiError, type Client } from '../../client/client.ts';
import { newId } from '../../platform/ids.ts';
import { countParked } from '../../platform/postgres/parked.ts';
import { projectorMetrics } from '../../platform/telemetry/instruments/projector.ts';
import { createMetrics } from '../../platform/telemetry/metrics.ts';
import { cleanup } from '../kit/cleanup.ts';
import { run } from '../kit/process.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { appendStrange } from '../kit/strange-event.ts';
import { until } from '../kit/until.ts';

const t = cleanup(after);
let stack: TestStack;
let ada: Client;
let root: Client;
before(async () => {
  stack = await startTestStack(t);
  ada = await stack.client('ada');
  root = await stack.client('root', 'admin');
});

async function tool(...args: string[]): Promise<{ code: number | null; said: string }> {
  const running = run(t, ['cli/parked.ts', ...args], { POSTGRES_URI: stack.database.uri });
  return { code: await running.exit, said: running.said() };
}
const parked = async (id: string) => (await root.parked({ limit: 200 })).data.find(({ streamId }) => streamId === id);
const metric = async () => {
  const metrics = createMetrics('test');
  metrics.of(projectorMetrics).watchParked(() => countParked(stack.database.pool));
  return /^projector_parked_streams\{(.+)\} (\d+)$/m.exec(await metrics.registry.metrics())?.slice(1);
};
const asked = async (prompt: string) => (await ada.ask({ prompt, model: 'gemini-2.5-flash' })).id;
const send = async (method: string, path: string) => {
  const body = method === 'POST' && { body: '{}' };
  const headers = { authorization: `Bearer ${await stack.key('ada')}`, 'content-type': 'application/json' };
  return fetch(new URL(path, stack.address), { method, headers, ...body });
};
/** A fault of the read model's tables that can be mended. */
const breakTables = () =>
  stack.database.pool.query(
    `ALTER TABLE prompt_v1 ADD CONSTRAINT no_cancelled CHECK (status <> 'cancelled') NOT VALID`,
  );
const mendTables = () => stack.database.pool.query('ALTER TABLE prompt_v1 DROP CONSTRAINT no_cancelled');

describe('a fault that is mended', () => {
  test('is listed, counted, and replayed by the tool; nothing of it is lost', async () => {
    assert.deepEqual(
      [(await tool('list')).said.trim(), await metric()],
      ['Nothing is set aside.', ['projection="prompts",service="test",application="prompt-orchestrator"', '0']],
    );
    await breakTables();
    const id = await asked('cancelled meanwhile [[emulate {"delayMs":60000}]]');
    const other = await asked('not held up');
    await until('it runs', async () => (await ada.prompt(id)).status === 'running');
    await ada.cancel(id);
    const row = await until('it is set aside', () => parked(id));
    assert.deepEqual([row.type, row.schemaVersion, row.version], ['PromptCancelled', 1, 1]);
    assert.match(row.error, new RegExp(`event ${row.position} of stream ${id}: .*no_cancelled`));
    await until('what its attempt came to waits behind', async () => (await parked(id))?.waiting === 1);
    assert.equal((await ada.prompt(other, { wait: 20 })).status, 'completed');
    // Set aside it is read from the log; in the list it is as it was.
    assert.equal((await ada.prompt(id)).status, 'cancelled');
    assert.deepEqual(
      (await ada.prompts({ status: 'running' })).data.map((prompt) => prompt.id),
      [id],
    );
    assert.deepEqual(await metric(), ['projection="prompts",service="test",application="prompt-orchestrator"', '1']);

    const before = await root.stats<{ bucket: string; status: string; prompts: number }>('usage', USAGE);
    const early = await tool('replay', id);
    assert.deepEqual([early.code, (await parked(id))?.position], [1, row.position]);
    assert.match(early.said, new RegExp(`${id}  prompts v1  0 events folded, still aside: event ${row.position} `));
    assert.match(early.said, /1 still aside, 0 replayed: is this the release with the fix\?/);
    const listed = await tool('list');
    assert.match(
      listed.said,
      new RegExp(`^${id}  prompts v1  since \\S+  at PromptCancelled .*1 more behind it\n  event`),
    );

    await mendTables();
    const late = await tool('replay', '--all');
    assert.equal(late.code, 0, late.said);
    assert.match(late.said, new RegExp(`${id}  prompts v1  2 events folded, not aside any more\n1 replayed.`));
    assert.deepEqual([await parked(id), (await metric())?.[1]], [undefined, '0']);
    assert.deepEqual(
      (await ada.prompts({ status: 'cancelled' })).data.map((prompt) => prompt.id),
      [id],
    );
    // No event came since, so no cursor moved: what was cached before is not believed all the same.
    await until('the sums are new', async () => {
      const { data, position } = await root.stats<{ status: string; prompts: number }>('usage', USAGE);
      assert.equal(position, before.position);
      return data.some(({ status, prompts }) => status === 'cancelled' && prompts === 1);
    });
  });
  const USAGE = { groupBy: 'status', emulated: 'include' };
});

describe('an event that nobody knows', () => {
  for (const [what, event, said] of [
    ['by its type', { type: 'PromptRated', schemaVersion: 1 }, 'unknown event type PromptRated'],
    [
      'by its version',
      { type: 'PromptCancelled', schemaVersion: 99 },
      'PromptCancelled has schema version 99, this build knows 1',
    ],
  ] as const) {
    test(`${what} sets its stream aside; the prompt is shown as it was before`, async () => {
      const id = await asked(`strange ${what}`);
      const { position, answer } = await ada.prompt(id, { wait: 20 });
      await appendStrange(stack.database.pool, id, event);
      const row = await until('it is set aside', () => parked(id));
      assert.equal(row.error, `event ${row.position} of stream ${id}: ${said}`);
      assert.deepEqual([row.type, row.schemaVersion], [event.type, event.schemaVersion]);
      const shown = await ada.prompt(id, { minPosition: row.position });
      assert.deepEqual([shown.status, shown.answer, shown.position], ['completed', answer, position]);
      const last = (await ada.events(id)).data.at(-1);
      assert.deepEqual([last?.type, last?.data, last?.position], [event.type, {}, row.position]);
      // Looking back, everything is as it was: neither this prompt nor any other is lost to an event that came later.
      assert.equal((await ada.prompt(id, { asOf: position })).answer, answer);
      assert.equal((await ada.prompts({ asOf: position, limit: 1 })).data[0]?.id, id);
      assert.ok((await ada.prompts({ asOf: row.position })).data.length > 0);
      assert.equal((await root.stats('usage', { asOf: position })).position, position);
      // What needs the stream itself is for an instance that can read it, and may be asked for again.
      for (const [method, path] of [
        ['POST', 'cancel'],
        ['POST', 'retry'],
      ]) {
        const response = await send(method!, `/prompts/${id}/${path}`);
        const { code, retryable } = (await response.json()) as { code: string; retryable: boolean };
        assert.deepEqual([response.status, code, retryable], [503, 'unavailable', true], path);
        assert.equal(response.headers.get('retry-after'), '2');
      }
      const { code, said: told } = await tool('replay', id);
      assert.equal(code, 1);
      assert.ok(told.includes(said), told);
    });
  }

  test('as the first of its prompt leaves nothing to show: whoever asks is told to ask again', async () => {
    const id = newId();
    await appendStrange(stack.database.pool, id, { type: 'PromptSubmitted', schemaVersion: 99 });
    await until('it is set aside', () => parked(id));
    await assert.rejects(ada.prompt(id), /503 unavailable/);
  });

  test('stops a rebuild, which says where', async () => {
    const id = await asked('strange to a rebuild');
    await ada.prompt(id, { wait: 20 });
    await appendStrange(stack.database.pool, id, { type: 'PromptRated', schemaVersion: 1 });
    const first = (await root.parked({ limit: 200 })).data.map(({ position }) => position).sort((a, b) => a - b)[0];
    const running = run(t, ['cli/replay.ts', '--dry-run'], { POSTGRES_URI: stack.database.uri });
    assert.equal(await running.exit, 1);
    assert.match(running.said(), new RegExp(`event ${first} of stream \\S+: unknown event type PromptRated`));
    assert.doesNotMatch(running.said(), /\bat .*\.ts:\d+/);
  });
});

describe('the list', () => {
  test('comes in pages and is for admins', async () => {
    const all = (await root.parked()).data;
    assert.ok(all.length >= 3);
    const one = await root.parked({ limit: 1 });
    assert.deepEqual([one.data, one.hasMore], [all.slice(0, 1), true]);
    const rest = await root.parked({ limit: 200, cursor: one.nextCursor! });
    assert.deepEqual([rest.data, rest.hasMore, rest.nextCursor], [all.slice(1), false, null]);
    await assert.rejects(ada.parked(), (error: unknown) => {
      assert.ok(error instanceof ApiError);
      assert.deepEqual([error.status, error.code], [403, 'forbidden']);
      return true;
    });
    for (const cursor of ['x', Buffer.from("prompts 1 '").toString('base64url')]) {
      await assert.rejects(root.parked({ cursor }), /400 invalid_request/);
    }
  });
});

test('the tool says what is wrong, and exits 1', async () => {
  for (const [args, said] of [
    [['replay', 'nonsense'], /Stream nonsense is not set aside: see "npm run parked -- list"/],
    [['replay', newId()], /is not set aside/],
    [['replay'], /Name the streams to replay, or say --all/],
    [['replay', '--all', newId()], /Name the streams to replay, or say --all/],
    [['list', '--limit', 'all'], /must be a whole number above 0/],
  ] as const) {
    const result = await tool(...args);
    assert.equal(result.code, 1, result.said);
    assert.match(result.said, said);
    assert.doesNotMatch(result.said, /\bat .*\.ts:\d+/);
  }
});
