/** One prompt's trace through all parts, in one process; `npm run traces` does the same with four. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { loadConfig } from '../../platform/config/load.ts';
import { createLogger } from '../../platform/telemetry/logging.ts';
import { stopTracing } from '../../platform/telemetry/shutdown.ts';
import { startTracing } from '../../platform/telemetry/tracing.ts';
import { cleanup } from '../kit/cleanup.ts';
import { type Collector, startCollector } from '../kit/collector.ts';
import { type Subscriber, subscribe } from '../kit/feed.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { checkTrace } from '../traces/check-trace.ts';
import { toTree } from '../traces/tree.ts';

const SECRET = 'the colour of the heron is grey';
const t = cleanup(after);
let collector: Collector;
let stack: TestStack;
let feed: Subscriber;
let key: string;

const traceOf = (character: string, flags: string) => {
  const [trace, caller] = [`${character.repeat(31)}1`, character.repeat(16)];
  return { trace, caller, traceparent: `00-${trace}-${caller}-${flags}` };
};

before(async () => {
  collector = await startCollector(t);
  const env = { JAEGER_URI: collector.address, OTEL_TRACES_SAMPLER: 'parentbased_always_off' };
  Object.assign(process.env, { ...env, OTEL_BSP_SCHEDULE_DELAY: '50' });
  await startTracing(loadConfig('embedded', env), createLogger({ service: 'test', level: 'silent' }));
  stack = await startTestStack(t, { env });
  key = await stack.key('ada');
  feed = await subscribe(stack.address, key);
  // Its frames come by the hub from here on, not by catching up.
  await ask(null);
});

/** Resolves when its completion was pushed. */
async function ask(traceparent: string | null): Promise<string> {
  const response = await fetch(`${stack.address}/ask`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      ...(traceparent && { traceparent }),
    },
    // Late enough for the events before the answer to be folded by themselves.
    body: JSON.stringify({ prompt: `${SECRET} [[emulate {"delayMs":150}]]`, model: 'gemini-2.5-flash' }),
  });
  assert.equal(response.status, 202, await response.clone().text());
  const { id } = (await response.json()) as { id: string };
  await feed.event('its completion', (frame) => frame.promptId === id && frame.event === 'PromptCompleted');
  return id;
}

const traceparentsOf = async (id: string) => {
  const text = "SELECT metadata ->> 'traceparent' AS traceparent FROM event WHERE stream_id = $1 ORDER BY version";
  const { rows } = await stack.database.pool.query<{ traceparent: string | null }>(text, [id]);
  return rows.map(({ traceparent }) => traceparent);
};

describe('a prompt', () => {
  const sampled = traceOf('a', '01');
  const unsampled = traceOf('e', '00');
  let ids: { sampled: string; unsampled: string; alone: string };

  before(async () => {
    ids = {
      sampled: await ask(sampled.traceparent),
      unsampled: await ask(unsampled.traceparent),
      alone: await ask(null),
    };
    feed.close();
    await stack.stop();
    await stopTracing();
  });

  test('whose caller records it has one trace from the request to the push', () => {
    const spans = collector.spans.filter(({ traceId }) => traceId === sampled.trace);
    const tree = toTree(spans);
    assert.deepEqual(checkTrace(spans, { caller: sampled.caller, together: true }), [], tree);
    const call = spans.find(({ name }) => name.startsWith('generate_content'));
    const { 'gen_ai.usage.output_tokens': output, 'gen_ai.response.finish_reasons': reasons } = call?.attributes ?? {};
    assert.deepEqual(reasons, ['STOP']);
    assert.ok(Number(output) > 0);
    assert.ok(Number(call?.attributes['gen_ai.response.time_to_first_chunk']) >= 0.15);
  });

  test('leaves its trace in each of its events', async () => {
    const [asked, ...others] = await traceparentsOf(ids.sampled);
    const spanOf = (traceparent: string | null | undefined) =>
      collector.spans.find(({ spanId }) => spanId === traceparent?.split('-')[2])?.name;
    assert.equal(spanOf(asked), 'POST /ask');
    assert.deepEqual(others.map(spanOf), ['process tasks', 'process tasks']);
  });

  test('whose caller does not record it has the trace in its events, and no span', async () => {
    assert.ok(!collector.spans.some(({ traceId }) => traceId === unsampled.trace));
    for (const traceparent of await traceparentsOf(ids.unsampled))
      assert.match(traceparent ?? '', new RegExp(`^00-${unsampled.trace}-[0-9a-f]{16}-00$`));
  });

  test('that the sampler leaves out has a trace, and no span in any part', async () => {
    const [asked = null, ...others] = await traceparentsOf(ids.alone);
    assert.match(asked ?? '', /-00$/);
    for (const traceparent of others) assert.equal(traceparent?.slice(3, 35), asked?.slice(3, 35));
    const traces = new Set(collector.spans.map(({ traceId }) => traceId));
    assert.deepEqual([...traces], [sampled.trace]);
  });

  test('is in no span by its words, nor is its answer', () => {
    const all = JSON.stringify(collector.spans);
    assert.ok(collector.spans.length > 10);
    assert.doesNotMatch(all, /heron|emulated answer|No model was asked/);
  });
});
