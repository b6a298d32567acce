import assert from 'node:assert/strict';
import { test } from 'node:test';
import { record, submitted } from '../../contracts/prompt/spec.ts';
import type { PromptState } from '../../contracts/prompt/state.ts';
import type { EventRow } from '../../platform/postgres/read.ts';
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
    return 2;
  };
  const done = foldInLanes({ store, target: 9, mostEvents: 5, turn });
  await asked.promise;
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(store.steps, []);
  granted.release();
  await done;
  assert.deepEqual(sizes, [5, 2, 2]);
});
