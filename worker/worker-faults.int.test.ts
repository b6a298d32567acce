/** Redis or Postgres lose what they hold, or their connections, while the worker works. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import type { AppendEvents } from '../platform/postgres/append.ts';
import { WORKERS_GROUP } from '../platform/redis/tasks.ts';
import { cleanup } from '../testing/kit/cleanup.ts';
import { required } from '../testing/kit/environment.ts';
import { appendStrange } from '../testing/kit/strange-event.ts';
import { until } from '../testing/kit/until.ts';
import { allDone, callOf, completed, createRig, createScript, type Rig, unbilled } from '../testing/kit/worker-rig.ts';

const t = cleanup(after);
let rig: Rig;
before(async () => {
  rig = await createRig(t);
});

type Line = ReturnType<Rig['createLine']>;

/** Connections of this file's workers: the server is shared, its databases are not. */
async function connections(): Promise<string[]> {
  const clients = String(await rig.redis.client.call('CLIENT', 'LIST')).split('\n');
  return clients.filter(
    (one) => one.includes('name=worker-test') && one.includes(` db=${rig.redis.client.options.db} `),
  );
}

/** The worker has read all there is, and waits in Redis for more. */
const blocked = () =>
  until('a worker is blocked on its stream', async () =>
    (await connections()).some((one) => /flags=b.*cmd=xreadgroup/.test(one)),
  );

const groupExists = async (line: Line) =>
  ((await rig.redis.client.call('XINFO', 'GROUPS', line.tasksStream)) as unknown[]).length === 1;

describe('when Redis loses', () => {
  test('the group while it is waited on, entries added before it is made again are found', async (c) => {
    const line = rig.createLine();
    const [before, lost] = [await rig.submit(), await rig.submit()];
    const script = createScript(() => completed());
    await line.dispatch(before);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
    );
    await allDone(line);
    const entry = await line.stamp(lost);
    await blocked();
    // At once: a group made again from the stream's end would not see the entry.
    await rig.redis.client
      .multi()
      .xgroup('DESTROY', line.tasksStream, WORKERS_GROUP)
      .xadd(line.tasksStream, `${entry.dispatch}-0`, 'promptId', lost)
      .exec();
    await callOf(script, lost);
    await allDone(line);
    assert.equal(await groupExists(line), true);
    assert.equal((await rig.types(lost)).at(-1), 'PromptCompleted');
  });

  test('the whole stream while it is waited on, the next entries are found', async (c) => {
    const line = rig.createLine();
    const [before, next] = [await rig.submit(), await rig.submit()];
    const script = createScript(() => completed());
    await line.dispatch(before);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
    );
    await allDone(line);
    await blocked();
    await rig.redis.client.del(line.tasksStream);
    await until('stream and group are there again', () => rig.redis.client.exists(line.tasksStream));
    await line.dispatch(next);
    await callOf(script, next);
    await allDone(line);
  });

  test('everything while calls run, they are settled once and others follow', async (c) => {
    const line = rig.createLine();
    const [held, next] = [await rig.submit(), await rig.submit()];
    const script = createScript();
    await line.dispatch(held);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { slots: 2 },
    );
    const call = await callOf(script, held);
    await rig.redis.client.flushdb();
    call.end(completed());
    await until('the outcome is on record', async () => (await rig.row(held)) === null);
    await line.dispatch(next);
    (await callOf(script, next)).end(completed());
    await allDone(line);
    assert.deepEqual(await rig.types(held), ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted']);
    assert.equal(script.calls.length, 2);
  });

  test('its sense of what the stream is, the worker tries until it is one again', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript(() => completed());
    await rig.redis.client.set(line.tasksStream, 'not a stream');
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
    );
    await until('it was told', () => line.warnings.some(({ message }) => message.includes('could not be read')));
    await rig.redis.client.del(line.tasksStream);
    await until('the group is made', () => rig.redis.client.exists(line.tasksStream));
    await line.dispatch(promptId);
    await allDone(line);
    assert.equal(script.calls.length, 1);
  });

  test('the workers’ connections, they come again', async (c) => {
    const line = rig.createLine();
    const [before, next] = [await rig.submit(), await rig.submit()];
    const script = createScript(() => completed());
    await line.dispatch(before);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
    );
    await allDone(line);
    await blocked();
    const own = await connections();
    assert.ok(own.length >= 2);
    for (const one of own) await rig.redis.client.call('CLIENT', 'KILL', 'ID', /id=(\d+)/.exec(one)?.[1] ?? '');
    const entry = await line.stamp(next);
    await rig.redis.client.xadd(line.tasksStream, `${entry.dispatch}-0`, 'promptId', next);
    await callOf(script, next);
    await until('it is answered', async () => (await rig.row(next)) === null);
  });
});

describe('when Postgres', () => {
  /** Another database's connection: it stays when those of the workers end. */
  async function admin(statement: string): Promise<void> {
    const client = new pg.Client({ connectionString: required('TEST_POSTGRES_URI') });
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  }
  const name = () => new URL(rig.database.uri).pathname.slice(1);
  const endAll = () => admin(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name()}'`);

  test('ends every connection while an answer is held, it is settled and the provider called once', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript();
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
    );
    const call = await callOf(script, promptId);
    await endAll();
    call.end(completed('held'));
    await allDone(line);
    assert.deepEqual(await rig.types(promptId), ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted']);
    assert.equal(script.calls.length, 1);
  });

  test('is away for longer than an append is tried, the answer is held and settled when it is back', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript();
    await line.dispatch(promptId);
    const worker = line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { leaseSeconds: 0.2 },
    );
    const call = await callOf(script, promptId);
    const tries = () => line.warnings.filter(({ message }) => message.includes('it is held and tried again')).length;
    await admin(`ALTER DATABASE ${name()} WITH ALLOW_CONNECTIONS false`);
    try {
      await endAll();
      call.end(completed('held'));
      await until('settling was tried in vain, and again', () => tries() >= 3);
      assert.equal(worker.running, 1);
      assert.deepEqual(await line.results(), []);
      assert.equal((await line.pending()).length, 1);
    } finally {
      await admin(`ALTER DATABASE ${name()} WITH ALLOW_CONNECTIONS true`);
    }
    await allDone(line);
    const last = (await rig.events(promptId)).at(-1);
    assert.ok(last?.type === 'PromptCompleted');
    assert.equal(last.data.answer, 'held');
    assert.equal(script.calls.length, 1);
  });

  /** Takes effect, and the answer is lost: the same append is made again. */
  const twice: AppendEvents = async (append) => {
    await rig.append(append);
    return rig.append(append);
  };

  test('takes an append whose reply is lost, the attempt is called and settled once', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript(() => completed());
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { append: twice },
    );
    await allDone(line);
    assert.equal(script.calls.length, 1);
    const events = await rig.events(promptId);
    assert.deepEqual(
      events.map(({ type }) => type),
      ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted'],
    );
    const [told, ...more] = await line.results();
    assert.deepEqual([told?.['type'], told?.['position'], more], ['PromptCompleted', `${events[2]?.position}`, []]);
  });

  test('takes the end of a prompt and its reply is lost, its own position is told', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    await line.dispatch(promptId);
    const no = { type: 'failed', code: 'blocked', message: 'no', finishReason: null, emulated: false } as const;
    line.worker(
      cleanup((fn) => c.after(fn)),
      createScript(() => ({ ...no, billing: unbilled })),
      { append: twice },
    );
    await allDone(line);
    const events = await rig.events(promptId);
    assert.deepEqual(
      events.map(({ type }) => type),
      ['PromptSubmitted', 'AttemptStarted', 'AttemptFailed', 'PromptFailed'],
    );
    const [told] = await line.results();
    assert.deepEqual([told?.['type'], told?.['position']], ['PromptFailed', `${events[3]?.position}`]);
  });

  test('cannot be asked for a claim, it is asked again and the provider called once', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript(() => completed());
    let refusals = 2;
    const append: AppendEvents = async (one) => {
      refusals -= 1;
      if (refusals >= 0) throw Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });
      return rig.append(one);
    };
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { append, leaseSeconds: 10 },
    );
    await allDone(line);
    assert.equal(script.calls.length, 1);
    assert.ok(refusals < 0);
    assert.deepEqual(await rig.types(promptId), ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted']);
  });

  const unsure: Record<string, string[]> = {
    'and its disk fails at the flush': ['58030'],
    'and its disk is full': ['53100'],
    'and its reply is lost, and then too many are waiting': ['ECONNRESET', 'overloaded'],
  };
  for (const [what, codes] of Object.entries(unsure)) {
    test(`takes a claim ${what}, it is asked again and the provider called once`, async (c) => {
      const line = rig.createLine();
      const promptId = await rig.submit({ retry: 'never' });
      const script = createScript(() => completed());
      const left = [...codes];
      const append: AppendEvents = async (one) => {
        const answer = await rig.append(one); // what a server that panicked finds when it recovers
        const code = left.shift();
        if (code) throw Object.assign(new Error(code), { code });
        return answer;
      };
      await line.dispatch(promptId);
      line.worker(
        cleanup((fn) => c.after(fn)),
        script,
        { append },
      );
      await allDone(line);
      assert.equal(script.calls.length, 1);
      assert.deepEqual(await rig.types(promptId), ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted']);
    });
  }

  test('takes a claim when its lease is nearly over, the provider is not called and the attempt costs nothing', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript(() => completed());
    let refusals = 3;
    const append: AppendEvents = async (one) => {
      refusals -= 1;
      if (refusals >= 0) throw Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });
      return rig.append(one);
    };
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { append, leaseSeconds: 0.2 },
    );
    const failed = await until('the attempt is on record', async () =>
      (await rig.events(promptId)).find((event) => event.type === 'AttemptFailed'),
    );
    assert.ok(failed.type === 'AttemptFailed');
    assert.deepEqual([failed.data.end, failed.data.nanoUsd, failed.data.retryInSeconds], ['not_called', 0, 0]);
    assert.equal(script.calls.length, 0);
    await allDone(line);
  });

  test('holds a prompt with an event nobody knows, those read together with it are answered', async (c) => {
    const line = rig.createLine();
    const [strange, ...others] = [await rig.submit(), await rig.submit(), await rig.submit()];
    await appendStrange(rig.pool, strange);
    const script = createScript(() => completed());
    const t = cleanup((fn) => c.after(fn));
    await line.dispatch(strange, ...others);
    // Leases are short: what failed together is read again, soon and often.
    line.worker(t, script, { leaseSeconds: 0.2 });
    await until('the others are answered', () => others.every((id) => script.of(id).length === 1), 4_000);
  });
});
