/** One prompt's trace through the four services as they run in production, as a collector receives it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startEmulator } from '../emulator/emulator.ts';
import { cleanup } from '../kit/cleanup.ts';
import { type Collector, startCollector } from '../kit/collector.ts';
import { type Subscriber, subscribe } from '../kit/feed.ts';
import type { Service } from '../kit/process.ts';
import { until } from '../kit/until.ts';
import { checkTrace } from './check-trace.ts';
import { callerOf, createRig, type Rig } from './rig.ts';
import { toTree } from './tree.ts';

const SECRET = 'the colour of the heron is grey';
const t = cleanup(after);
let rig: Rig;
let collector: Collector;
let feed: Subscriber;
const services: Record<string, Service> = {};

before(async () => {
  rig = await createRig(t);
  collector = await startCollector(t);
  const emulator = await startEmulator();
  t.after(emulator.close);
  const provider = { GEMINI_API_KEY: 'k', GEMINI_BASE_URL: emulator.url };
  const names = ['command-api', 'worker', 'projector', 'query-api'];
  await Promise.all(
    names.map(async (name) => {
      services[name] = await rig.start(name, { JAEGER_URI: collector.address, ...(name === 'worker' && provider) });
    }),
  );
  feed = await subscribe(`http://127.0.0.1:${services['query-api']!.port}`, rig.key);
  // Its frames come by the hub from here on, not by catching up.
  await ended(await ask(callerOf('f', '00').traceparent));
});

const ask = (traceparent: string, emulate: object = {}, prompt: object = {}) =>
  rig.ask(services['command-api']!.port, traceparent, {
    prompt: `${SECRET} [[emulate ${JSON.stringify(emulate)}]]`,
    ...prompt,
  });
const ended = (id: string) =>
  feed.event('its end', ({ event, promptId }) => promptId === id && /^Prompt(Completed|Failed)$/.test(event));
const spansOf = (trace: string) => collector.spans.filter(({ traceId }) => traceId === trace);

describe('a prompt', () => {
  test('has one trace from the request to the push on the socket', async () => {
    const { caller, trace, traceparent } = callerOf('a', '01');
    // Late enough for the events before the answer to be folded by themselves.
    await ended(await ask(traceparent, { delayMs: 150 }));
    let faults: string[] = [];
    const isWhole = () => {
      faults = checkTrace(spansOf(trace), { caller });
      return faults.length === 0;
    };
    try {
      await until('the whole trace', isWhole, 10_000);
    } finally {
      console.log(`\n${toTree(spansOf(trace))}\n`);
      assert.deepEqual(faults, []);
    }
    const handler = spansOf(trace).find(({ name }) => name === 'handler /ask');
    assert.equal(handler?.scope, '@opentelemetry/instrumentation-fastify');
  });

  test('that failed tells why by a code, and its redrive has a trace that is linked to the first', async () => {
    const [first, second] = [callerOf('b', '01'), callerOf('c', '01')];
    const id = await ask(first.traceparent, { fault: 'safety', times: 1 });
    await ended(id);
    const call = await until('the call', () => spansOf(first.trace).find(({ name }) => name.startsWith('generate_')));
    assert.ok(call.failed);
    assert.equal(call.attributes['error.type'], 'blocked');
    await rig.post(services['command-api']!.port, `/prompts/${id}/retry`, undefined, second.traceparent);
    const claimed = await until('its second way', () => spansOf(second.trace).find(({ name }) => name === 'claim'));
    assert.deepEqual(
      claimed.links.map(({ traceId }) => traceId),
      [first.trace],
    );
  });

  test('that nobody records has no span, and its trace in the lines of the log', async () => {
    const { trace, traceparent } = callerOf('d', '00');
    await ask(traceparent, { fault: 'bad-key' }, { model: 'gemini-2.5-pro' });
    const line = await until('the worker complains', () =>
      services['worker']!.said()
        .split('\n')
        .find((one) => one.includes('it is parked')),
    );
    assert.equal((JSON.parse(line) as { traceId?: string }).traceId, trace);
    assert.deepEqual(spansOf(trace), []);
  });

  test('is in no span by its words, and every service stops as ever', async () => {
    feed.close();
    const codes = await Promise.all(Object.values(services).map((service) => service.end()));
    assert.deepEqual(codes, [0, 0, 0, 0]);
    assert.ok(new Set(collector.spans.map(({ service }) => service)).size === 4);
    assert.doesNotMatch(JSON.stringify(collector.spans), /heron|No model was asked/);
  });
});
