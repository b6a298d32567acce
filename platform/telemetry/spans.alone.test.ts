import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { recordSpans } from '../../testing/kit/recorded-spans.ts';
import { createLogger } from './logging.ts';
import { beginSends, beginSpan, inSpan, inTraceOf, isTraced, linkTo } from './spans.ts';
import { activeTraceparent } from './traceparent.ts';

const [TRACE, CALLER] = ['a'.repeat(32), 'b'.repeat(16)];
const sampled = `00-${TRACE}-${CALLER}-01`;
const unsampled = `00-${TRACE}-${CALLER}-00`;
const spans = recordSpans();
let shaped = 0;
const shape = () => {
  shaped += 1;
  return { name: 'work', kind: SpanKind.INTERNAL, attributes: { 'prompt.id': 'p' } };
};

beforeEach(() => {
  spans.length = 0;
  shaped = 0;
});

describe('work in a trace that is recorded', () => {
  test('has a span under what the trace came with, and what it causes has that span', async () => {
    const inside = await inTraceOf(sampled, () => inSpan(shape, async () => activeTraceparent()));
    const [span] = spans;
    assert.equal(span?.parentSpanContext?.spanId, CALLER);
    assert.equal(inside, `00-${TRACE}-${span?.spanContext().spanId}-01`);
    assert.deepEqual(span?.attributes, { 'prompt.id': 'p' });
  });

  test('that throws ends its span as failed, by the error’s code and without its message', async () => {
    const fault = Object.assign(new Error('the prompt was: secret'), { code: '23505' });
    await assert.rejects(
      inTraceOf(sampled, () => inSpan(shape, () => Promise.reject(fault))),
      fault,
    );
    const [span] = spans;
    assert.equal(span?.status.code, SpanStatusCode.ERROR);
    assert.equal(span?.attributes['error.type'], '23505');
    assert.doesNotMatch(JSON.stringify([span?.attributes, span?.events, span?.status]), /secret/);
  });

  test('is linked to another trace, and never to its own', async () => {
    const other = `00-${'c'.repeat(32)}-${'d'.repeat(16)}-00`;
    await inTraceOf(sampled, () =>
      inSpan(shape, async () => {
        linkTo(null);
        linkTo(sampled);
        linkTo(other);
      }),
    );
    assert.deepEqual(
      spans[0]?.links.map(({ context }) => context.traceId),
      ['c'.repeat(32)],
    );
  });
});

describe('work in a trace that nobody records', () => {
  test('has no span, and does not even say how one would look', async () => {
    for (const traceparent of [unsampled, null, 'rubbish']) {
      const [traced, inside] = await inTraceOf(traceparent, () =>
        inSpan(shape, async (span) => {
          span.setAttribute('prompt.id', 'taken and dropped');
          return [isTraced(), activeTraceparent()];
        }),
      );
      assert.equal(traced, false);
      assert.equal(inside, traceparent === unsampled ? unsampled : null);
      beginSpan(traceparent, shape).end();
    }
    assert.equal(shaped, 0);
    assert.equal(spans.length, 0);
  });

  test('has its trace id in the lines of the log, as any other', async () => {
    const lines: string[] = [];
    const logger = createLogger({
      service: 'test',
      level: 'info',
      destination: { write: (line: string) => void lines.push(line) },
    });
    inTraceOf(unsampled, () => logger.info({}, 'unsampled'));
    await inTraceOf(sampled, () => inSpan(shape, async () => logger.info({}, 'sampled')));
    inTraceOf(null, () => logger.info({}, 'none'));
    const found = lines.map((line) => JSON.parse(line) as { traceId?: string; spanId?: string });
    assert.deepEqual(
      found.map(({ traceId }) => traceId),
      [TRACE, TRACE, undefined],
    );
    assert.deepEqual(
      found.map(({ spanId }) => spanId),
      [CALLER, spans[0]?.spanContext().spanId, undefined],
    );
  });
});

describe('messages to be sent', () => {
  const messages = [sampled, unsampled, null, sampled].map((traceparent, n) => ({ traceparent, n }));

  test('carry a span of their own where their trace is recorded', () => {
    const sends = beginSends(messages, ({ n }) => ({ ...shape(), name: `send ${n}` }));
    sends.end();
    const carried = sends.messages.map(({ traceparent }) => traceparent);
    assert.deepEqual(carried.slice(1, 3), [unsampled, null]);
    assert.deepEqual(
      spans.map((span) => [span.name, `00-${TRACE}-${span.spanContext().spanId}-01`]),
      [
        ['send 0', carried[0]],
        ['send 3', carried[3]],
      ],
    );
  });

  test('that were not taken have failed', () => {
    beginSends(messages, shape).end('stream_changed');
    assert.deepEqual(
      spans.map(({ attributes, status }) => [attributes['error.type'], status.code]),
      [
        ['stream_changed', SpanStatusCode.ERROR],
        ['stream_changed', SpanStatusCode.ERROR],
      ],
    );
  });

  test('are as they were where no trace is recorded', () => {
    const plain = messages.slice(1, 3);
    assert.equal(beginSends(plain, shape).messages, plain);
    assert.equal(shaped, 0);
  });
});
