/** What a worker does with the entries it is given: one call for one prompt, however often it is delivered. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { newId } from '../platform/ids.ts';
import { WORKERS_GROUP } from '../platform/redis/tasks.ts';
import { cleanup } from '../testing/kit/cleanup.ts';
import { until } from '../testing/kit/until.ts';
import { allDone, callOf, completed, createRig, createScript, type Rig } from '../testing/kit/worker-rig.ts';

const t = cleanup(after);
let rig: Rig;
before(async () => {
  rig = await createRig(t);
});

describe('one prompt', () => {
  test('whose entry is read by a second worker while the first calls is called once', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript();
    const t = cleanup((fn) => c.after(fn));
    await line.dispatch(promptId);
    const first = line.worker(t, script);
    const call = await callOf(script, promptId);
    // The second takes over whatever was silent for a moment: the same entry, again and again.
    const second = line.worker(t, script, { leaseSeconds: 0.02 });
    await until('the second was given the entry, and again', async () => {
      const [entry] = await line.pending(second.name);
      return entry !== undefined && entry.deliveries >= 4;
    });
    assert.deepEqual([first.running, second.running], [1, 0]);
    call.end(completed());
    await allDone(line);
    assert.equal(script.calls.length, 1);
    assert.deepEqual(await rig.types(promptId), ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted']);
  });

  test('given to two workers at the same time is called once', async (c) => {
    const promptIds = await Promise.all(Array.from({ length: 20 }, () => rig.submit()));
    const script = createScript();
    const t = cleanup((fn) => c.after(fn));
    // Two streams with the same entries, as after a failover of Redis: only the claim keeps the workers apart.
    const lines = [rig.createLine(), rig.createLine()] as const;
    const entries = [];
    for (const promptId of promptIds) entries.push(await lines[0].stamp(promptId));
    for (const line of lines) {
      await line.publish(entries);
      line.worker(t, script, { slots: 20, leaseSeconds: 0.2 });
    }
    await until('all are called', () => promptIds.every((id) => script.of(id).length > 0));
    for (const call of script.calls) call.end(completed());
    // The entry of whoever lost stays until the prompt is done, then it is of no use and goes.
    await Promise.all(lines.map(allDone));
    assert.equal(script.calls.length, 20);
    for (const promptId of promptIds) {
      assert.deepEqual(await rig.types(promptId), ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted']);
    }
  });

  test('under a number that is no longer its own is acknowledged and not called', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript();
    await line.dispatch(promptId);
    const current = await line.stamp(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
    );
    await allDone(line);
    assert.equal(script.calls.length, 0);
    assert.deepEqual(await rig.types(promptId), ['PromptSubmitted']);
    await line.publish([current]);
    (await callOf(script, promptId)).end(completed());
    await allDone(line);
  });

  test('that is done, or that nobody knows, is acknowledged and not called', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript(() => completed());
    const t = cleanup((fn) => c.after(fn));
    const [entry] = await line.dispatch(promptId);
    line.worker(t, script);
    await allDone(line);
    await line.publish([
      { ...entry!, dispatch: entry!.dispatch + 1 },
      { ...entry!, dispatch: entry!.dispatch + 2, promptId: newId() },
    ]);
    await allDone(line);
    assert.equal(script.calls.length, 1);
  });

  test('whose time has not come is not called, and its entry stays', async (c) => {
    const line = rig.createLine();
    const [early, ready] = [await rig.submit(), await rig.submit()];
    await rig.database.pool.query(`UPDATE outbox SET due_at = due_at + interval '1 hour' WHERE prompt_id = $1`, [
      early,
    ]);
    const script = createScript();
    const t = cleanup((fn) => c.after(fn));
    const [entry] = await line.dispatch(early, ready);
    line.worker(t, script);
    (await callOf(script, ready)).end(completed());
    await until('one entry is left', async () => (await line.length()) === 1);
    assert.deepEqual(
      (await line.pending()).map(({ id }) => id),
      [`${entry?.dispatch}-0`],
    );
    assert.equal(script.of(early).length, 0);
    // It is found again when it has been silent for a lease, by any worker.
    await rig.database.pool.query('UPDATE outbox SET due_at = now() WHERE prompt_id = $1', [early]);
    line.worker(t, script, { leaseSeconds: 0.2 });
    (await callOf(script, early)).end(completed());
    await allDone(line);
  });
});

describe('an entry that no relay of ours wrote', () => {
  test('is put aside, and the worker lives on', async (c) => {
    const line = rig.createLine();
    const [hidden, good] = [await rig.submit(), await rig.submit()];
    const script = createScript();
    const stamped = await line.stamp(hidden);
    const add = (id: string, ...fields: [string, ...string[]]) =>
      rig.redis.client.call('XADD', line.tasksStream, id, ...fields);
    await rig.redis.client.xgroup('CREATE', line.tasksStream, WORKERS_GROUP, '0', 'MKSTREAM');
    await add('1-0', 'junk', '\u0000\ud800');
    await add('2-0', 'promptId', 'not-a-uuid', 'traceparent', 'x');
    await add('3-0', 'promptId', "'; DROP TABLE event; --");
    await add('4-0', 'promptId', `${hidden} `);
    await add('5-0', '', '');
    await add('6-0', 'x', 'y'.repeat(100_000));
    // The right prompt under its right number, but an id that no relay makes.
    await add(`${stamped.dispatch}-7`, 'promptId', hidden);
    await line.dispatch(good);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { slots: 2 },
    );
    (await callOf(script, good)).end(completed());
    await allDone(line);
    assert.equal(script.calls.length, 1);
    assert.deepEqual(await rig.types(hidden), ['PromptSubmitted']);
    assert.equal(line.warnings.filter(({ message }) => message.includes('put aside')).length, 7);
  });
});
