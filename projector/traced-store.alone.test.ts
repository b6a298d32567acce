import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { EventRow } from '../platform/postgres/read.ts';
import { recordSpans } from '../testing/kit/recorded-spans.ts';
import type { ProjectionStore, Step } from './projection-store.ts';
import { traceSteps } from './traced-store.ts';

const spans = recordSpans();
const [ONE, TWO] = ['1'.repeat(32), '2'.repeat(32)];
const context = (trace: string, span: string, flags = '01') => `00-${trace}-${span.repeat(16)}-${flags}`;
const traceparents = [
  context(ONE, 'a'),
  context(ONE, 'b'),
  context(TWO, 'c'),
  context(ONE, 'b'),
  null,
  context(TWO, 'd', '00'),
];
const rows = traceparents.map(
  (traceparent, i): EventRow => ({
    position: i + 1,
    stream_id: `prompt of ${traceparent?.[3]}`,
    version: 1,
    event_id: `e${i}`,
    type: `Type${i + 1}`,
    schema_version: 1,
    data: {},
    metadata: { correlationId: 'c', causationId: null, traceparent, actor: 'user:ada' },
    recorded_at: '2026-11-01T00:00:00.000Z',
  }),
);

beforeEach(() => {
  spans.length = 0;
});

async function step(taken: boolean, upTo = rows.length): Promise<boolean> {
  const store: ProjectionStore = {
    cursor: async () => 0,
    read: async () => rows,
    load: async () => ({ states: new Map(), parked: [] }),
    fold: () => assert.fail('not here'),
    write: async () => taken,
  };
  const traced = traceSteps(store, { name: 'prompts', version: 3 });
  assert.equal(await traced.read(0, 10), rows);
  const to = { position: upTo, recordedAt: '' };
  return traced.write({ from: 0, to, rows: null, aside: [], poison: null } satisfies Step);
}

describe('a step of a projection', () => {
  test('has a span in each trace that is recorded, under its newest event and linked to all of them', async () => {
    assert.equal(await step(true), true);
    assert.deepEqual(
      spans.map((span) => [
        span.name,
        span.spanContext().traceId,
        span.parentSpanContext?.spanId[0],
        span.links.map((link) => link.context.spanId[0]),
        span.attributes['prompt.events'],
        span.attributes['prompt.position'],
      ]),
      [
        ['project prompts', ONE, 'b', ['a', 'b'], ['Type1', 'Type2', 'Type4'], 4],
        ['project prompts', TWO, 'c', ['c'], ['Type3'], 3],
      ],
    );
    assert.equal(spans[0]?.attributes['projection.events'], 6);
    assert.equal(spans[0]?.attributes['projection.version'], 3);
  });

  test('tells of the events that it wrote, not of all that were read', async () => {
    await step(true, 2);
    assert.deepEqual(
      spans.map(({ attributes }) => attributes['prompt.events']),
      [['Type1', 'Type2']],
    );
    assert.equal(spans[0]?.attributes['projection.events'], 2);
  });

  test('that was refused has none', async () => {
    assert.equal(await step(false), false);
    assert.equal(spans.length, 0);
  });
});
