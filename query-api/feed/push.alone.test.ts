import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordSpans } from '../../testing/kit/recorded-spans.ts';
import { type FeedFrame, toFrame } from './frame.ts';
import { createHub } from './hub.ts';
import { push } from './push.ts';

const frameOf = (traceparent: string | null): FeedFrame =>
  toFrame({ position: 7, promptId: 'p', userId: 'ada', type: 'PromptCompleted', traceparent }, {} as never);

test('a frame goes to all who want it, and is the last span of its trace', () => {
  const spans = recordSpans();
  const hub = createHub();
  const got: FeedFrame[] = [];
  hub.add({ kind: 'all' }, (frame) => got.push(frame));
  hub.add({ kind: 'user', userId: 'ada' }, (frame) => got.push(frame));
  hub.add({ kind: 'user', userId: 'bob' }, (frame) => got.push(frame));
  const sampled = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  for (const traceparent of [sampled, null, sampled.replace(/01$/, '00')]) push(hub, frameOf(traceparent));
  assert.equal(got.length, 6);
  assert.equal(spans.length, 1);
  assert.equal(spans[0]?.name, 'push PromptCompleted');
  assert.equal(spans[0]?.parentSpanContext?.spanId, 'b'.repeat(16));
  assert.deepEqual(spans[0]?.attributes, {
    'prompt.id': 'p',
    'prompt.event': 'PromptCompleted',
    'prompt.position': 7,
    'feed.listeners': 2,
  });
});
