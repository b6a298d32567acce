import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { inTraceOf } from '../../platform/telemetry/spans.ts';
import { recordSpans } from '../../testing/kit/recorded-spans.ts';
import type { GenerateContext, Outcome } from './provider.ts';
import { traceCalls } from './traced.ts';

const spans = recordSpans();
const request = {
  model: 'gemini-2.5-flash',
  prompt: 'a secret',
  system: 'another secret',
  temperature: 0.5,
  maxOutputTokens: 100,
  attemptId: 'p/1',
};
const usage = { inputTokens: 20, cachedInputTokens: 5, outputTokens: 10, thoughtTokens: 3, totalTokens: 33 };
const completed: Outcome = {
  type: 'completed',
  answer: 'a third secret',
  finishReason: 'STOP',
  truncated: false,
  billing: { known: true, usage, rawUsage: {} },
  modelVersion: 'gemini-2.5-flash-001',
  emulated: false,
};

beforeEach(() => {
  spans.length = 0;
});

async function generate(outcome: Outcome, flags = '01'): Promise<string[]> {
  const pieces: string[] = [];
  const context: GenerateContext = {
    signal: new AbortController().signal,
    onDelta: (text) => void pieces.push(text),
  };
  const provider = traceCalls({
    name: 'gemini',
    generate: async (asked, { onDelta, signal }) => {
      assert.equal(asked, request);
      assert.equal(signal, context.signal);
      onDelta('one');
      onDelta('two');
      return outcome;
    },
  });
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-${flags}`;
  assert.equal(await inTraceOf(traceparent, () => provider.generate(request, context)), outcome);
  return pieces;
}

describe('a call of the provider', () => {
  test('has a span of the GenAI conventions, thoughts among the output, and its pieces go through', async () => {
    assert.deepEqual(await generate(completed), ['one', 'two']);
    const [span] = spans;
    assert.equal(span?.name, 'generate_content gemini-2.5-flash');
    assert.equal(span?.kind, SpanKind.CLIENT);
    const { 'gen_ai.response.time_to_first_chunk': seconds, ...attributes } = span?.attributes ?? {};
    assert.ok(typeof seconds === 'number' && seconds >= 0 && seconds < 5);
    assert.deepEqual(attributes, {
      'gen_ai.operation.name': 'generate_content',
      'gen_ai.provider.name': 'gcp.gemini',
      'gen_ai.request.model': 'gemini-2.5-flash',
      'gen_ai.request.stream': true,
      'gen_ai.request.max_tokens': 100,
      'gen_ai.request.temperature': 0.5,
      'gen_ai.response.finish_reasons': ['STOP'],
      'gen_ai.response.model': 'gemini-2.5-flash-001',
      'gen_ai.usage.input_tokens': 20,
      'gen_ai.usage.cache_read.input_tokens': 5,
      'gen_ai.usage.output_tokens': 13,
      'gen_ai.usage.reasoning.output_tokens': 3,
      'prompt.outcome': 'completed',
      'prompt.emulated': false,
    });
  });

  test('that did not complete has its code, not the provider’s words', async () => {
    const billing = { known: false, rawUsage: null } as const;
    await generate({ type: 'retry', code: 'unavailable', message: 'you asked: a secret', billing, emulated: false });
    const [span] = spans;
    assert.equal(span?.status.code, SpanStatusCode.ERROR);
    assert.equal(span?.attributes['error.type'], 'unavailable');
    assert.equal(span?.attributes['gen_ai.usage.input_tokens'], undefined);
  });

  test('has no secret in its span, and no span where nobody records the trace', async () => {
    await generate(completed);
    assert.doesNotMatch(JSON.stringify([spans[0]?.attributes, spans[0]?.events, spans[0]?.status]), /secret/);
    spans.length = 0;
    await generate(completed, '00');
    assert.equal(spans.length, 0);
  });
});
