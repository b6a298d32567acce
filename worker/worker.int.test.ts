/** The worker's order: no more than free slots → claim → generate → settle → tell → acknowledge. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { cleanup } from '../testing/kit/cleanup.ts';
import { monitorRedis } from '../testing/kit/redis-monitor.ts';
import { until } from '../testing/kit/until.ts';
import { allDone, callOf, completed, createRig, createScript, type Rig } from '../testing/kit/worker-rig.ts';

const t = cleanup(after);
let rig: Rig;
before(async () => {
  rig = await createRig(t);
});

const submitMany = (count: number) => Promise.all(Array.from({ length: count }, () => rig.submit()));

describe('a worker', () => {
  test('never holds more entries than it has slots', async (c) => {
    const line = rig.createLine();
    const seen: number[] = [];
    const script = createScript(async () => {
      seen.push((await line.pending()).length);
    });
    await line.dispatch(...(await submitMany(8)));
    const worker = line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { slots: 3 },
    );
    for (let begun = 3; begun <= 8; begun += 1) {
      await until(`${begun} calls`, () => seen.length === begun);
      assert.ok((await line.pending(worker.name)).length <= 3);
      script.calls[begun - 3]?.end(completed());
    }
    for (const call of script.calls) call.end(completed());
    await allDone(line);
    assert.deepEqual(
      seen.filter((count) => count > 3),
      [],
    );
    assert.equal(script.calls.length, 8);
  });

  test('has committed the attempt’s start when it calls the provider', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript(async () => {
      const [, started] = await rig.events(promptId);
      assert.ok(started?.type === 'AttemptStarted');
      assert.equal((await rig.row(promptId))?.token, started.data.token);
      return completed();
    });
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
    );
    await allDone(line);
    assert.deepEqual(await rig.types(promptId), ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted']);
    assert.equal((await rig.events(promptId))[2]?.metadata.actor.startsWith('worker:'), true);
  });

  test('has attempts that nobody knows the end of held until their calls are surely over', async (c) => {
    const [leaseSeconds, callTimeoutSeconds] = [20, 40];
    const held: Record<string, number | null> = {};
    for (const retry of ['auto', 'cautious', 'never'] as const) {
      const line = rig.createLine();
      const promptId = await rig.submit({ retry });
      const script = createScript();
      await line.dispatch(promptId);
      line.worker(
        cleanup((fn) => c.after(fn)),
        script,
        { leaseSeconds, callTimeoutSeconds },
      );
      await callOf(script, promptId);
      const { rows } = await rig.database.pool.query<{ seconds: number | null }>(
        `SELECT extract(epoch FROM o.hold_until - e.recorded_at)::float8 AS seconds
           FROM outbox o JOIN event e ON e.stream_id = o.prompt_id AND e.type = 'AttemptStarted' WHERE o.prompt_id = $1`,
        [promptId],
      );
      held[retry] = rows[0]!.seconds;
    }
    assert.deepEqual(held, { auto: null, cautious: 60, never: 60 });
  });

  test('hints at its claim, so that a prompt is shown as running before it is answered', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript();
    const hinted: { hint: string; claimed: boolean }[] = [];
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      {
        hints: {
          ...rig.hints,
          send: (hint) => void rig.row(promptId).then((row) => hinted.push({ hint, claimed: row?.token !== null })),
        },
      },
    );
    const call = await callOf(script, promptId);
    await until('the log is hinted at', () => hinted.some(({ hint }) => hint === 'log'));
    assert.deepEqual(
      hinted.filter(({ hint, claimed }) => hint === 'log' && !claimed),
      [],
    );
    call.end(completed());
    await allDone(line);
  });

  test('calls nobody while its claim is not committed', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript(() => completed());
    const lock = await rig.database.pool.connect();
    try {
      await lock.query('SELECT pg_advisory_lock(7301)'); // no append gets through
      await line.dispatch(promptId);
      line.worker(
        cleanup((fn) => c.after(fn)),
        script,
      );
      await until('the claim waits to be written', () => waitingAppends(lock));
      assert.equal(script.calls.length, 0);
    } finally {
      await lock.query('SELECT pg_advisory_unlock(7301)');
      lock.release();
    }
    await allDone(line);
    assert.equal(script.calls.length, 1);
  });

  test('tells and acknowledges nothing before the outcome is committed', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript();
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
    );
    const call = await callOf(script, promptId);
    const lock = await rig.database.pool.connect();
    try {
      await lock.query('SELECT pg_advisory_lock(7301)'); // no append gets through
      call.end(completed());
      await until('the outcome waits to be written', () => waitingAppends(lock));
      assert.deepEqual(await line.results(), []);
      assert.equal((await line.pending()).length, 1);
      assert.deepEqual(await rig.types(promptId), ['PromptSubmitted', 'AttemptStarted']);
    } finally {
      await lock.query('SELECT pg_advisory_unlock(7301)');
      lock.release();
    }
    await allDone(line);
    assert.deepEqual(
      (await line.results()).map(({ promptId: id, type }) => [id, type]),
      [[promptId, 'PromptCompleted']],
    );
  });

  test('tells first, then acknowledges, then deletes', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const seen = await monitorRedis(
      cleanup((fn) => c.after(fn)),
      rig.redis.uri,
    );
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      createScript(() => completed()),
    );
    const told = () =>
      seen.filter(
        ({ command, key }) =>
          (command === 'xadd' && key === line.resultsStream) ||
          (['xack', 'xdel'].includes(command) && key === line.tasksStream),
      );
    await until('the entry is deleted', () => told().some(({ command }) => command === 'xdel'));
    assert.deepEqual(
      told().map(({ command }) => command),
      ['xadd', 'xack', 'xdel'],
    );
  });

  test('tells which prompt, attempt, event and position under which trace, and no text', async (c) => {
    const line = rig.createLine();
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const promptId = await rig.submit({ prompt: 'a secret question' }, traceparent);
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      createScript(() => completed('a secret answer')),
    );
    await allDone(line);
    const last = (await rig.events(promptId)).at(-1);
    assert.ok(last?.type === 'PromptCompleted');
    assert.equal(last.metadata.traceparent, traceparent);
    assert.equal(last.metadata.correlationId, `request-of-${promptId}`);
    assert.deepEqual(await line.results(), [
      { promptId, attempt: '1', type: 'PromptCompleted', position: `${last.position}`, traceparent },
    ]);
  });

  test('acknowledges what it settled though the results stream cannot be told', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    await rig.redis.client.set(line.resultsStream, 'not a stream');
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      createScript(() => completed()),
    );
    await allDone(line);
    assert.equal((await rig.types(promptId)).at(-1), 'PromptCompleted');
    assert.ok(line.warnings.some(({ message }) => message.includes('was not told')));
  });
});

async function waitingAppends(db: Pick<pg.PoolClient, 'query'>): Promise<boolean> {
  const { rows } = await db.query<{ waiting: number }>(
    `SELECT count(*)::integer AS waiting FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event = 'advisory' AND query LIKE '%append_events_v3%'`,
  );
  return rows[0]!.waiting > 0;
}

describe('a worker told to stop', () => {
  test('lets its calls end, settles them and takes nothing new', async (c) => {
    const line = rig.createLine();
    const promptIds = await submitMany(5);
    const script = createScript();
    await line.dispatch(...promptIds);
    const worker = line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { slots: 2 },
    );
    await until('two calls', () => script.calls.length === 2);
    const seen = () => rig.database.pool.query('SELECT 1 FROM worker WHERE worker_id = $1', [worker.name]);
    await until('it has reported', async () => (await seen()).rowCount === 1);
    const stopped = worker.stop();
    for (const { signal, end } of [...script.calls]) {
      assert.equal(signal.aborted, false);
      end(completed());
    }
    await stopped;
    assert.equal(script.calls.length, 2);
    for (const { promptId } of script.calls) assert.equal((await rig.types(promptId)).at(-1), 'PromptCompleted');
    assert.deepEqual([await line.length(), await line.pending()], [3, []]);
    assert.equal((await line.results()).length, 2);
    assert.equal((await seen()).rowCount, 0);
  });

  test('takes nothing that comes after it was told, though it has slots free', async (c) => {
    const line = rig.createLine();
    const [running, late] = [await rig.submit(), await rig.submit()];
    const script = createScript(({ promptId }) => (promptId === late ? completed() : undefined));
    await line.dispatch(running);
    const worker = line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { slots: 2 },
    );
    const call = await callOf(script, running);
    const stopped = worker.stop();
    await line.dispatch(late);
    call.end(completed());
    await stopped;
    assert.equal(script.of(late).length, 0);
    // Not left to lie until its reader counts as dead: the relay may give it to another worker at once.
    assert.equal((await rig.row(late))?.dispatch, null);
  });

  test('aborts what has not ended when its time to drain is over, and records it', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript();
    await line.dispatch(promptId);
    const worker = line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { drainSeconds: 0.05 },
    );
    const call = await callOf(script, promptId);
    const stopped = worker.stop();
    await until('the call is aborted', () => call.signal.aborted);
    assert.equal(call.signal.reason, 'shutdown');
    const billing = { known: false, rawUsage: null } as const;
    call.end({ type: 'unknown', code: 'aborted', message: 'cut', billing, emulated: false });
    await stopped;
    const last = (await rig.events(promptId)).at(-1);
    assert.ok(last?.type === 'AttemptFailed');
    assert.deepEqual([last.data.end, last.data.nanoUsd, last.data.boundNanoUsd], ['unknown', null, 1_000]);
  });
});
