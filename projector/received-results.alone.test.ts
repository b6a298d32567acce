import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordSpans } from '../testing/kit/recorded-spans.ts';
import { markReceived } from './received-results.ts';

test('entries whose trace is recorded have a span each, linked to its sending; all of them ring once, and first', () => {
  const spans = recordSpans();
  const entry = (id: string, traceparent: string): [string, string[]] => [
    id,
    ['promptId', `p${id}`, 'traceparent', traceparent],
  ];
  const sampled = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  let rung = 0;
  markReceived(
    'outcomes',
    'projector',
    [entry('1', sampled), entry('2', ''), entry('3', sampled.replace(/01$/, '00')), entry('4', 'rubbish'), ['5', null]],
    () => {
      assert.equal(spans.length, 0);
      rung += 1;
    },
  );
  assert.equal(rung, 1);
  assert.equal(spans.length, 1);
  assert.equal(spans[0]?.name, 'process outcomes');
  assert.equal(spans[0]?.parentSpanContext?.spanId, 'b'.repeat(16));
  assert.deepEqual(
    spans[0]?.links.map(({ context }) => context.spanId),
    ['b'.repeat(16)],
  );
  assert.equal(spans[0]?.attributes['messaging.message.id'], '1');
  assert.equal(spans[0]?.attributes['prompt.id'], 'p1');
});
