import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { record, submitted } from '../../contracts/prompt/spec.ts';
import { fold, type PromptState } from '../../contracts/prompt/state.ts';
import { type EventRow, toEvent } from '../../platform/postgres/read.ts';
import { latch } from '../../testing/kit/until.ts';
import { foldInLanes, type LaneStep, type LaneStore, laneOf } from './lanes.ts';

const [first] = record([submitted()]);
/** One of lane 1 and one of lane 2, of two. */
const streamOf = (lane: 1 | 2, n = 0): string => `01900000-0000-7000-8000-${String(n).padStart(10, '0')}0${lane - 1}`;

const row = (position: number, streamId: string, version = 1, type: string = 'PromptSubmitted'): EventRow => ({
  position,
  stream_id: streamId,
  version,
  event_id: `event-${position}`,
  type,
  schema_version: 1,
  data: first!.data as Record<string, unknown>,
  metadata: first!.metadata,
  recorded_at: first!.recordedAt,
});

function createStore(rows: EventRow[], more: Partial<LaneStore> = {}): LaneStore & { steps: LaneStep[] } {
  const steps: LaneStep[] = [];
  return {
    steps,
    positions: async () => [0, 0],
    read: async (after, limit, upTo) =>
      rows.filter(({ position }) => position > after && position <= upTo).slice(0, limit),
    load: async () => new Map<string, PromptState>(),
    write: async (step) => void steps.push(step),
    ...more,
  };
}

test('streams of these tests are of the lanes that they say', () => {
  assert.deepEqual([laneOf(streamOf(1), 2), laneOf(streamOf(2), 2)], [1, 2]);
});

test('of two poison events the first in the log is told, though its lane is the slower one', async () => {
  const looked = latch();
  const store = createStore(
    [row(1, streamOf(1), 2, 'PromptVanished'), row(2, streamOf(2), 1, 'PromptVanished')],
    // Its stream began on an earlier page: it is looked for, while the other lane has failed already.
    {
      load: async () => {
        setImmediate(looked.release);
        await looked.promise;
        return new Map();
      },
    },
  );
  await assert.rejects(foldInLanes({ store, target: 2 }), { code: 'poison_event', position: 1 });
});

test('a page is folded while the one before is written, and written after it', async () => {
  const [begun, written] = [latch(), latch()];
  const order: string[] = [];
  const rows = [row(1, streamOf(1, 1)), row(2, streamOf(1, 2))];
  const store = createStore(rows, {
    read: async (after, limit, upTo) => {
      order.push(`read after ${after}`);
      return rows.filter(({ position }) => position > after && position <= upTo).slice(0, limit);
    },
    write: async ({ to }) => {
      order.push(`write to ${to.position}`);
      if (to.position === 1) {
        begun.release();
        await written.promise;
        order.push('written to 1');
      }
    },
  });
  const done = foldInLanes({
    store,
    target: 2,
    mostEvents: 1,
    onPage: ({ position }) => order.push(`page ${position}`),
  });
  await begun.promise;
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(
    order.filter((one) => one.startsWith('page')),
    [],
    'nothing is told of a page that is not written',
  );
  written.release();
  await done;
  const lane1 = order.filter((one) => one.endsWith(' 1') || one.endsWith(' 2'));
  assert.ok(lane1.indexOf('written to 1') < lane1.lastIndexOf('write to 2'));
  assert.ok(lane1.indexOf('written to 1') < lane1.indexOf('page 1'));
  assert.deepEqual(lane1.at(-1), 'page 2');
});

test('what is looked for may be in the write that is under way: it is waited for', async () => {
  const held = latch();
  let isWritten = false;
  const id = streamOf(1, 7);
  const finished = { ...row(1, id), type: 'PromptSubmitted' };
  const store = createStore([finished, row(2, id, 2, 'PromptExpired'), row(3, id, 3, 'PromptExpired')], {
    load: async () => {
      assert.ok(isWritten, 'read before it was written');
      return new Map();
    },
    write: async ({ to }) => {
      if (to.position < 2) return;
      setImmediate(held.release);
      await held.promise;
      isWritten = true;
    },
  });
  // Expired on page 2, the prompt is not kept in mind; page 3 looks for it.
  await assert.rejects(foldInLanes({ store, target: 3, mostEvents: 1 }), { code: 'poison_event', position: 3 });
  assert.ok(isWritten);
});

describe('lanes that stand apart, as after a crash', () => {
  /** Ten prompts that begin, by turns of lane 1 and lane 2; the tenth event ends the one that lane 2 began with. */
  const begun = Array.from({ length: 9 }, (_, i) => row(i + 1, streamOf(i % 2 === 0 ? 1 : 2, i + 1)));
  const rows = [...begun, row(10, streamOf(2, 2), 2, 'PromptExpired')];
  const laneNow = (position: number) => (position % 2 === 1 ? 1 : 2);
  const state = fold([toEvent(rows[1]!)])!;

  for (const positions of [
    [0, 5],
    [5, 0],
    [4, 7],
  ])
    for (const again of [0, 2]) {
      const overlap = again > 0 ? `, pages that begin ${again} events earlier` : '';
      test(`at ${positions.join(' and ')}${overlap}: each is given what it lacks, once`, async () => {
        let given = 0;
        const looked: string[] = [];
        const store = createStore(rows, {
          positions: async () => [...positions],
          read: async (after, limit, upTo) => {
            const page = rows.filter(({ position }) => position > after - again && position <= upTo);
            given += Math.min(page.length, limit + again);
            return page.slice(0, limit + again);
          },
          load: async (ids) => {
            looked.push(...ids);
            return new Map(ids.filter((id) => id === state.promptId).map((id) => [id, state]));
          },
        });
        await foldInLanes({ store, target: 10, mostEvents: 3 });
        for (const [i, from] of positions.entries()) {
          const steps = store.steps.filter(({ lane }) => lane === i + 1);
          assert.deepEqual(
            steps.map((step) => step.from),
            [from, ...steps.slice(0, -1).map(({ to }) => to.position)],
            'each from where the one before it ended',
          );
          assert.equal(steps.at(-1)?.to.position, 10);
          const lacked = rows.filter(({ position }) => position > from && laneNow(position) === i + 1);
          assert.deepEqual(
            steps.flatMap((step) => step.rows.prompts.map(({ position }) => position)).sort((a, b) => a - b),
            lacked.map(({ position }) => position),
          );
          assert.equal(
            steps.reduce((sum, { events }) => sum + events, 0),
            lacked.length,
          );
        }
        assert.equal(given > 10 - Math.min(...positions), again > 0);
        // Begun before where lane 2 stands it is looked for; begun after it, it is at hand.
        assert.deepEqual(looked, positions[1]! >= 2 ? [state.promptId] : []);
        const last = store.steps.flatMap((step) => step.rows.prompts).find(({ position }) => position === 10);
        assert.deepEqual([last?.status, last?.prompt_id], ['expired', state.promptId]);
      });
    }
});

test('a page is not folded before its turn, and the one after the next has as many events as it was told', async () => {
  const [asked, granted] = [latch(), latch()];
  const sizes: number[] = [];
  const rows = Array.from({ length: 9 }, (_, i) => row(i + 1, streamOf(1, i)));
  const store = createStore(rows, {
    read: async (after, limit, upTo) => {
      const page = rows.filter(({ position }) => position > after && position <= upTo).slice(0, limit);
      sizes.push(page.length);
      return page;
    },
  });
  const turn = async () => {
    asked.release();
    await granted.promise;
    return { mostEvents: 2, oneByOne: false };
  };
  const done = foldInLanes({ store, target: 9, mostEvents: 5, turn });
  await asked.promise;
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(store.steps, []);
  granted.release();
  await done;
  assert.deepEqual(sizes, [5, 2, 2]);
});

test('one by one, no lane is written before the one before it is, nor a page before the one before it', async () => {
  let writing = 0;
  const order: [lane: number, to: number][] = [];
  const rows = Array.from({ length: 4 }, (_, i) => row(i + 1, streamOf(i % 2 === 0 ? 1 : 2, i)));
  const store = createStore(rows, {
    write: async ({ lane, to }) => {
      writing += 1;
      order.push([lane, to.position]);
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(writing, 1, 'another one is being written');
      writing -= 1;
    },
  });
  await foldInLanes({ store, target: 4, mostEvents: 2, turn: async () => ({ mostEvents: 2, oneByOne: true }) });
  assert.deepEqual(order, [
    [1, 2],
    [2, 2],
    [1, 4],
    [2, 4],
  ]);
});

test('one by one, of two poison events the first in the log is told all the same', async () => {
  const store = createStore([row(1, streamOf(2), 1, 'PromptVanished'), row(2, streamOf(1), 1, 'PromptVanished')]);
  const turn = async () => ({ mostEvents: 2, oneByOne: true });
  await assert.rejects(foldInLanes({ store, target: 2, turn }), { code: 'poison_event', position: 1 });
});
