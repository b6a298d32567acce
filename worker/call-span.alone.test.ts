import assert from 'node:assert/strict';
import { test } from 'node:test';
import { given, submission, submitted } from '../contracts/prompt/spec.ts';
import { inTraceOf } from '../platform/telemetry/spans.ts';
import { recordSpans } from '../testing/kit/recorded-spans.ts';
import { callProvider } from './call.ts';

test('the span of a call that hangs ends when the call is given up, and says why', async (c) => {
  const spans = recordSpans();
  c.mock.timers.enable({ apis: ['setTimeout'] });
  const state = given(submitted());
  const claim = {
    state,
    request: submission,
    attempt: 1,
    token: 't',
    traceparent: null,
    correlationId: 'c',
    late: false,
  };
  const hangs = () => {
    c.mock.timers.tick(60_000);
    queueMicrotask(() => c.mock.timers.tick(5_000));
    return new Promise<never>(() => {});
  };
  await inTraceOf(`00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, () =>
    callProvider(claim, new AbortController(), {
      provider: { name: 'test', generate: hangs },
      priceOf: () => null,
      callTimeoutSeconds: 60,
      now: () => new Date(0),
    }),
  );
  assert.deepEqual(
    spans.map(({ name, attributes }) => [name, attributes['error.type']]),
    [[`generate_content ${submission.model}`, 'deadline']],
  );
});
