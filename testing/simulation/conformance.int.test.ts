/** The same suite on the ports in memory and on Postgres and Redis: the simulation is as honest as these are alike. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { newId } from '../../platform/ids.ts';
import type { OutboxWrite } from '../../platform/postgres/append.ts';
import { toEvent } from '../../platform/postgres/read.ts';
import { PoisonEventError } from '../../projector/poison-event.ts';
import { foldBatch } from '../../projector/projections/prompts/fold-batch.ts';
import { cleanup } from '../kit/cleanup.ts';
import { until } from '../kit/until.ts';
import { inMemory, inSeconds, onServers, type Ports, started, status, submitted } from './ports.ts';

function suite(name: string, make: (t: ReturnType<typeof cleanup>) => Promise<Ports>): void {
  describe(`the ports ${name}`, () => {
    const t = cleanup(after);
    let ports: Ports;
    let models = 0;
    before(async () => {
      ports = await make(t);
    });
    /** Each test has a model of its own, and so rows of its own. */
    const freshModel = () => {
      models += 1;
      return `model-${models}`;
    };

    type Opened = { user?: string; model?: string; due?: string; expires?: string };
    async function open({
      user = 'ada',
      model = freshModel(),
      due,
      expires,
    }: Opened = {}): Promise<{ id: string; model: string }> {
      const id = newId();
      const outbox: OutboxWrite = { op: 'open', user, model, lane: 1, due: due ?? null, expires: expires ?? null };
      const events = [submitted(user, { model })];
      assert.equal((await ports.append({ streamId: id, expectedVersion: 0, events, outbox })).status, 'appended');
      return { id, model };
    }
    const stamp = async (model: string) =>
      (await ports.dispatch.stamp({ lane: 1, model }, '', 100, 100)).at(-1)!.dispatch;
    const claim = (
      streamId: string,
      dispatch: number,
      token: string,
      { lease = 60, hold = null as number | null } = {},
    ) =>
      ports.append({
        streamId,
        expectedVersion: null,
        events: [started(1)],
        outbox: { op: 'claim', dispatch, token, worker: 'w', attempt: 1, lease, hold },
      });
    const change = (streamId: string, outbox: OutboxWrite) =>
      ports.append({ streamId, expectedVersion: null, events: [started(2)], outbox });
    async function claimed(
      terms: { lease?: number; hold?: number | null } = {},
    ): Promise<{ id: string; model: string; token: string; dispatch: number }> {
      const { id, model } = await open();
      const dispatch = await stamp(model);
      const token = newId();
      assert.equal(status(await claim(id, dispatch, token, terms)), 'appended');
      return { id, model, token, dispatch };
    }
    const verdict = async (promptId: string, token: string) =>
      (await ports.leases.renew([{ promptId, token }], 60)).get(promptId);

    describe('append', () => {
      test('gives versions and gapless positions, and refuses another expected version', async () => {
        const { id } = await open();
        const first = await ports.append({
          streamId: id,
          expectedVersion: 1,
          events: [started(1), started(2)],
          outbox: null,
        });
        assert.ok(first.status === 'appended');
        assert.equal(first.version, 3);
        assert.equal(
          status(await ports.append({ streamId: id, expectedVersion: 1, events: [started(3)], outbox: null })),
          'version',
        );
        const next = await ports.append({ streamId: id, expectedVersion: null, events: [started(3)], outbox: null });
        assert.ok(next.status === 'appended');
        assert.deepEqual([next.version, next.position], [4, first.position + 1]);
        assert.ok(next.recordedAt >= first.recordedAt);
      });

      test('writes nothing when one of its ids is there, whatever else is wrong, and tells what stands', async () => {
        const { id } = await open();
        const event = started(1);
        const first = await ports.append({ streamId: id, expectedVersion: 1, events: [event], outbox: null });
        assert.ok(first.status === 'appended');
        const again = await ports.append({
          streamId: id,
          expectedVersion: 7,
          events: [started(2), event],
          outbox: { op: 'drop', token: newId() },
        });
        assert.ok(again.status === 'duplicate');
        assert.deepEqual(
          [again.position, again.version, again.type, again.metadata.causationId],
          [first.position, 2, 'AttemptStarted', 'cause'],
        );
        assert.equal(
          status(await ports.append({ streamId: id, expectedVersion: 2, events: [started(2)], outbox: null })),
          'appended',
        );
      });

      test('opens a row once', async () => {
        const { id, model } = await open();
        assert.equal(status(await change(id, { op: 'open', user: 'ada', model, lane: 1 })), 'outbox');
      });

      test('does not open one whose time is over, where that is asked', async () => {
        const { id, model } = await open();
        assert.equal(status(await change(id, { op: 'drop' })), 'appended');
        const row: OutboxWrite = { op: 'open', user: 'ada', model, lane: 1, unexpired: true };
        assert.equal(status(await change(id, { ...row, expires: inSeconds(-1) })), 'outbox');
        assert.equal(status(await change(id, { ...row, expires: inSeconds(60) })), 'appended');
      });
    });

    describe('a claim', () => {
      test('needs the row’s own number, and is refused while another one lives', async () => {
        const { id, model } = await open();
        assert.equal(status(await claim(id, 1, newId())), 'outbox', 'not stamped');
        const dispatch = await stamp(model);
        assert.equal(status(await claim(id, dispatch + 1, newId())), 'outbox');
        assert.equal(status(await claim(id, dispatch, newId())), 'appended');
        assert.equal(status(await claim(id, dispatch, newId())), 'outbox');
        assert.equal(status(await claim(newId(), dispatch, newId())), 'outbox', 'no row');
      });

      test('is refused before its time and after its end', async () => {
        const late = await open({ due: inSeconds(3_600) });
        assert.deepEqual(await ports.dispatch.stamp({ lane: 1, model: late.model }, '', 10, 10), []);
        const expiring = await open({ expires: inSeconds(0.3) });
        const dispatch = await stamp(expiring.model);
        await until('it has expired', async () => (await ports.dispatch.overdue(1_000)).includes(expiring.id));
        assert.equal(status(await claim(expiring.id, dispatch, newId())), 'outbox');
      });

      test('is refused for a row that is closing', async () => {
        const { id, model } = await open();
        const dispatch = await stamp(model);
        assert.equal(status(await change(id, { op: 'close' })), 'appended');
        assert.equal(status(await claim(id, dispatch, newId())), 'outbox');
      });
    });

    describe('what happens to a row', () => {
      test('is refused to another token, and then done', async () => {
        const { id, model, token } = await claimed();
        assert.equal(status(await change(id, { op: 'reschedule', after: 0, token: newId() })), 'outbox');
        assert.equal(await verdict(id, token), 'renewed');
        assert.equal(status(await change(id, { op: 'reschedule', after: 0, token })), 'appended');
        assert.equal(await verdict(id, token), 'lost');
        assert.deepEqual([...(await ports.leases.dispatches([id]))], [[id, null]]);
        assert.ok((await stamp(model)) > 0, 'it waits for the relay again');
      });

      test('later than now is not stamped before', async () => {
        const { id, model, token } = await claimed();
        assert.equal(status(await change(id, { op: 'reschedule', after: 3_600, token })), 'appended');
        assert.ok((await ports.dispatch.readyPairs()).some((pair) => pair.model === model));
        assert.deepEqual(await ports.dispatch.stamp({ lane: 1, model }, '', 10, 10), []);
      });

      test('only when its lease is dead waits for that, and for its hold', async () => {
        const dying = await claimed({ lease: 0.2 });
        const held = await claimed({ lease: 0.2, hold: 3_600 });
        const living = await claimed();
        const dead = async () => (await ports.dispatch.deadLeases(1_000)).map(({ promptId }) => promptId);
        assert.equal(
          status(await change(living.id, { op: 'reschedule', after: 0, token: living.token, dead: true })),
          'outbox',
        );
        await until('its lease is dead', async () => (await dead()).includes(dying.id));
        assert.ok(!(await dead()).includes(held.id) && !(await dead()).includes(living.id));
        assert.equal(status(await change(held.id, { op: 'drop', token: held.token, dead: true })), 'outbox');
        assert.equal(status(await change(dying.id, { op: 'drop', token: dying.token, dead: true })), 'appended');
        assert.equal((await ports.leases.dispatches([dying.id])).size, 0);
      });

      test('only when it has expired waits for that, and for its attempt', async () => {
        const { id } = await open({ expires: inSeconds(3_600) });
        assert.equal(status(await change(id, { op: 'drop', expired: true })), 'outbox');
        const over = await open({ expires: inSeconds(0.05) });
        await until('it has expired', async () => (await ports.dispatch.overdue(1_000)).includes(over.id));
        assert.equal(status(await change(over.id, { op: 'drop', expired: true })), 'appended');
        assert.ok(!(await ports.dispatch.overdue(1_000)).includes(over.id));
      });

      test('that is closing is told to its worker; one that is gone is lost', async () => {
        const { id, token } = await claimed();
        await change(id, { op: 'close' });
        assert.equal(await verdict(id, token), 'closing');
        await change(id, { op: 'drop', token });
        assert.equal(await verdict(id, token), 'lost');
        assert.equal(status(await change(id, { op: 'drop' })), 'outbox');
      });
    });

    describe('dispatch', () => {
      test('takes users in turn, after the last one, so many of each, in the order of their time', async () => {
        const model = freshModel();
        const ids = new Map<string, string[]>();
        for (const user of ['a', 'a', 'a', 'b', 'c']) {
          const due = inSeconds(ids.size + (ids.get(user)?.length ?? 0) - 60);
          ids.set(user, [...(ids.get(user) ?? []), (await open({ user, model, due })).id]);
        }
        const first = await ports.dispatch.stamp({ lane: 1, model }, 'a', 10, 2);
        assert.deepEqual(
          first.map(({ userId }) => userId),
          ['b', 'c'],
        );
        const second = await ports.dispatch.stamp({ lane: 1, model }, '', 10, 2);
        assert.deepEqual(
          second.map(({ promptId }) => promptId),
          ids.get('a')!.slice(0, 2),
        );
        const numbers = [...first, ...second].map(({ dispatch }) => dispatch);
        assert.deepEqual(
          [...numbers].sort((a, b) => a - b),
          numbers,
        );
        assert.equal((await ports.dispatch.stamp({ lane: 0, model }, '', 10, 2)).length, 0, 'another lane');
      });

      test('finds what was not claimed, and gives numbers back, but not of what runs', async () => {
        const waiting = await open();
        const number = await stamp(waiting.model);
        const running = await claimed();
        const unclaimed = await until('a moment has passed', async () => {
          const found = await ports.dispatch.unclaimed(0, 1_000);
          return found.some(({ promptId, dispatch }) => promptId === waiting.id && dispatch === number) ? found : null;
        });
        assert.ok(!unclaimed.some(({ promptId }) => promptId === running.id));
        assert.equal((await ports.dispatch.unclaimed(3_600, 1_000)).length, 0);
        await ports.dispatch.unstamp([waiting.id, running.id]);
        assert.deepEqual([...(await ports.leases.dispatches([waiting.id]))], [[waiting.id, null]]);
        assert.deepEqual([...(await ports.leases.dispatches([running.id]))], [[running.id, running.dispatch]]);
        const [again] = await ports.dispatch.stamp({ lane: 1, model: waiting.model }, '', 1, 1);
        assert.ok(again!.dispatch > number);
        const rows = await ports.dispatch.unstampAll(again!.dispatch + 1_000);
        assert.ok(rows >= 1);
        assert.equal(await stamp(waiting.model), again!.dispatch + 1_001);
      });

      test('a worker hands back what it has not claimed', async () => {
        const { id, model } = await open();
        await stamp(model);
        await ports.leases.handBack(id);
        assert.deepEqual([...(await ports.leases.dispatches([id]))], [[id, null]]);
        const running = await claimed();
        await ports.leases.handBack(running.id);
        assert.deepEqual([...(await ports.leases.dispatches([running.id]))], [[running.id, running.dispatch]]);
      });

      test('counts the slots of workers that report, and knows parked models', async () => {
        const before = (await ports.dispatch.capacity()).slots;
        await ports.leases.report('w-1', 5, 1);
        await ports.leases.report('w-1', 6, 1);
        await ports.leases.report('w-2', 2, 0);
        assert.equal((await ports.dispatch.capacity()).slots, before + 8);
        await ports.leases.signOff('w-1');
        assert.equal((await ports.dispatch.capacity()).slots, before + 2);
        const model = freshModel();
        await ports.leases.park(model, { reason: 'breaker', seconds: 60 });
        await ports.leases.park(model, { reason: 'breaker', seconds: 0 });
        assert.ok((await ports.dispatch.capacity()).parked.includes(model), 'a longer parking is not shortened');
      });
    });

    describe('the stream', () => {
      const entry = (dispatch: number) => ({
        dispatch,
        promptId: newId(),
        lane: 'normal',
        model: 'm',
        traceparent: null,
      });
      const ids = (tasks: { entryId: string }[]) => tasks.map(({ entryId }) => entryId);

      test('takes entries only onto the state that was left', async () => {
        const { tasks, addForeign } = ports.stream();
        assert.deepEqual(await tasks.state(), { lastId: '0-0', lastDelivered: 0 });
        assert.deepEqual(await tasks.publish([entry(3), entry(5)], '0-0'), { published: true, lastId: '5-0' });
        assert.deepEqual(await tasks.publish([entry(6)], '3-0'), { published: false, lastId: '5-0' });
        await addForeign();
        assert.deepEqual(await tasks.publish([entry(7)], '5-0'), { published: false, lastId: '6-0' });
        await tasks.remove();
        assert.deepEqual(await tasks.publish([entry(7)], '6-0'), { published: false, lastId: '0-0' });
      });

      test('gives each entry once, to one reader, and foreign ones as such', async () => {
        const { tasks, reader, addForeign } = ports.stream();
        await tasks.publish([entry(1), entry(2), entry(3)], '0-0');
        await addForeign();
        const [a, b] = [reader('a'), reader('b')];
        assert.deepEqual(ids(await a.read(2, 5)), ['1-0', '2-0']);
        const rest = await b.read(10, 5);
        assert.deepEqual(ids(rest), ['3-0', '4-0']);
        assert.deepEqual(
          rest.map((one) => 'foreign' in one),
          [false, true],
        );
        assert.deepEqual(await a.read(10, 5), []);
        assert.equal((await tasks.state()).lastDelivered, 4);
      });

      test('lets what is silent be taken over, and not what was touched', async () => {
        const { tasks, reader } = ports.stream();
        await tasks.publish([entry(1), entry(2)], '0-0');
        const [a, b] = [reader('a'), reader('b')];
        await a.read(2, 5);
        assert.deepEqual(await b.takeOver(10, 60_000), []);
        await until('it was silent for a while', async () => {
          await a.touch(['2-0']);
          return ids(await b.takeOver(10, 40)).includes('1-0');
        });
        await b.acknowledge(['1-0']);
        assert.deepEqual(await tasks.findLost([1]), [1], 'acknowledged and deleted');
        assert.deepEqual(await tasks.findLost([2]), []);
      });

      test('says which entries nobody will be given: absent ones, and those in no pending list; and deletes these', async () => {
        const { tasks, reader, destroyGroup } = ports.stream();
        await tasks.publish([entry(1), entry(2)], '0-0');
        assert.deepEqual(await tasks.findLost([1, 2, 9]), [9]);
        await reader('a').read(1, 5);
        assert.deepEqual(await tasks.findLost([1, 2]), []);
        assert.equal(await tasks.removeUnreadable(100), 0);
        await destroyGroup();
        // A group made again begins at 0: all that is there is given again.
        assert.deepEqual(ids(await reader('b').read(10, 5)), ['1-0', '2-0']);
        await reader('b').acknowledge(['1-0']);
        assert.deepEqual(await tasks.findLost([1, 2]), [1]);
      });

      test('takes away what was given to a consumer that is no more, and nothing else', async () => {
        const { tasks, reader, deleteConsumer } = ports.stream();
        await tasks.publish([entry(1), entry(2), entry(3)], '0-0');
        await reader('a').read(1, 5);
        await reader('b').read(1, 5);
        await deleteConsumer('a');
        assert.deepEqual(await tasks.findLost([1, 2, 3]), [1], 'delivered, and in no pending list');
        assert.equal(await tasks.removeUnreadable(100), 1);
        assert.equal(await tasks.removeUnreadable(100), 0);
        assert.deepEqual(ids(await reader('b').read(10, 5)), ['3-0'], 'what was not delivered is there');
      });

      test('forgets consumers that left or were silent for long, never one with an entry pending', async () => {
        const { tasks, reader, consumers } = ports.stream();
        await tasks.publish([entry(1), entry(2), entry(3)], '0-0');
        const [a, b, c] = [reader('a'), reader('b'), reader('c')];
        for (const one of [a, b, c]) await one.read(1, 5);
        await b.acknowledge(['2-0', '3-0']);
        assert.deepEqual(await consumers(), ['a', 'b', 'c']);
        for (const one of [a, c]) await one.leave();
        assert.deepEqual(await consumers(), ['a', 'b'], 'what is pending for a would be lost with it');
        assert.equal(await tasks.removeIdleConsumers(60_000), 0);
        await until('b was silent for a while', async () => (await tasks.removeIdleConsumers(20)) === 1);
        await a.acknowledge(['1-0']);
        await a.leave();
        assert.deepEqual(await consumers(), []);
      });
    });

    test('a projection moves only from where its cursor stands, and keeps what it was given', async () => {
      const { projection } = ports;
      const from = await projection.cursor();
      const { id } = await open();
      const head = (await projection.read(from, 10_000)).at(-1)!.position;
      const row = (await projection.read(head - 1, 1))[0]!;
      assert.equal(row.stream_id, id);
      assert.equal((await projection.read(0, 10_000, 2)).length, 2);
      const rows = foldBatch(new Map(), [toEvent(row)]);
      const to = { position: head, recordedAt: row.recorded_at };
      assert.equal(await projection.write({ from: from + 1, to, rows, aside: [], poison: null }), false);
      assert.equal((await projection.load([id])).states.size, 0);
      // It passes over a stream that is not set aside any more: the step was made before that was known.
      assert.equal(await projection.write({ from, to, rows, aside: [id], poison: null }), false);
      assert.equal(await projection.cursor(), from);
      const poison = new PoisonEventError({ streamId: id, position: head }, new Error('x'));
      assert.equal(await projection.write({ from, to, rows, aside: [], poison }), true);
      assert.equal(await projection.cursor(), head);
      const { states, parked } = await projection.load([id]);
      assert.deepEqual([states.get(id)?.promptId, states.get(id)?.status, parked], [id, 'queued', [id]]);
      assert.equal(await projection.write({ from, to, rows, aside: [], poison: null }), false);
    });
  });
}

suite('in memory', inMemory);
suite('on Postgres and Redis', onServers);
