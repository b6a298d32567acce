/** What a scrape is told, whatever happens to the values behind it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Registry } from 'prom-client';
import { exemplarOf } from './exemplar.ts';
import { createExposition } from './exposition.ts';
import { createMake, readOnce, sample } from './instrument.ts';
import { attemptMetrics } from './instruments/attempts.ts';
import { projectorMetrics } from './instruments/projector.ts';
import { promptMetrics } from './instruments/prompts.ts';
import { relayMetrics } from './instruments/relay.ts';
import { workerMetrics } from './instruments/worker.ts';
import { createMetrics, type Metrics } from './metrics.ts';

const OPEN_METRICS = 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5';
const SAMPLED = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
const UNSAMPLED = SAMPLED.replace(/01$/, '00');

function rig() {
  const registry = new Registry();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never);
  const make = createMake(registry, 20);
  const expose = createExposition(registry);
  const lines = async () => (await expose(undefined)).text.split('\n').filter((line) => !line.startsWith('#'));
  return { make, expose, lines };
}

describe('a value that is read when it is scraped', () => {
  test('is absent before it has a source, and has those of all its sources', async () => {
    const { make, lines } = rig();
    const watch = make.watched('depth', 'of it', ['of']);
    assert.deepEqual((await lines()).filter(Boolean), ['metrics_read_failures_total{metric="depth"} 0']);
    watch(() => sample(1, { of: 'a' }));
    watch(async () => sample(2, { of: 'b' }));
    assert.deepEqual(
      (await lines()).filter((line) => line.startsWith('depth')),
      ['depth{of="a"} 1', 'depth{of="b"} 2'],
    );
  });

  test('that fails or does not answer is absent and counted, and keeps no other back', async () => {
    const { make, lines } = rig();
    make.watched('broken', 'of it')(() => Promise.reject(new Error('Postgres is away')));
    make.watched(
      'thrown',
      'of it',
    )(() => {
      throw new Error('no such thing');
    });
    make.watched('silent', 'of it')(() => new Promise(() => {}));
    make.watched('whole', 'of it')(() => sample(7));
    await lines();
    const again = await lines();
    assert.ok(again.includes('whole 7'));
    for (const name of ['broken', 'thrown', 'silent']) {
      assert.ok(!again.some((line) => line.startsWith(name)), name);
      const counted = again.find((line) => line.startsWith(`metrics_read_failures_total{metric="${name}"}`));
      assert.match(counted ?? '', / [12]$/, name);
    }
  });

  test('that is no more goes, with its labels', async () => {
    const { make, lines } = rig();
    let value: number | null = 3;
    make.watched('model_parked', 'of it', ['model'])(() => (value === null ? [] : sample(value, { model: 'm' })));
    assert.ok((await lines()).includes('model_parked{model="m"} 3'));
    value = null;
    assert.ok(!(await lines()).some((line) => line.startsWith('model_parked')));
  });

  test('is asked for once by all values that are taken from it', async () => {
    let asked = 0;
    const read = readOnce(async () => {
      asked += 1;
      return asked;
    }, 60_000);
    assert.deepEqual([await read(), await read()], [1, 1]);
    const fresh = readOnce(async () => {
      asked += 1;
      return asked;
    }, 0);
    await fresh();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await fresh(), 3);
  });
});

describe('exposition', () => {
  test('is OpenMetrics with exemplars for who accepts it, else Prometheus’ own, also at once', async () => {
    const metrics = createMetrics('s');
    const worker = metrics.of(workerMetrics);
    worker.onQueueWait({ lane: 'normal', seconds: 0.2, traceparent: SAMPLED });
    metrics.of(attemptMetrics).onFailure({ model: 'm', code: 'blocked', retried: false });
    const expose = createExposition(metrics.registry);
    for (let round = 0; round < 3; round += 1) {
      const [open, plain, second] = await Promise.all([expose(OPEN_METRICS), expose('*/*'), expose(OPEN_METRICS)]);
      assert.match(open.contentType, /^application\/openmetrics-text; version=1\.0\.0/);
      assert.match(open.text, /# EOF\n$/);
      const bucket = /^queue_wait_seconds_bucket\{(?=.*le="0\.25")[^}]*\} 1 # \{trace_id="a{32}"\} 0\.2 /m;
      assert.match(open.text, bucket);
      assert.equal(second.text.split('\n').length, open.text.split('\n').length);
      assert.match(plain.contentType, /^text\/plain; version=0\.0\.4/);
      assert.doesNotMatch(plain.text, /trace_id|# EOF/);
      for (const { text } of [open, plain]) {
        assert.match(
          text,
          /^attempt_failures_total\{model="m",code="blocked",service="s",application="prompt-orchestrator"\} 1$/m,
        );
      }
      assert.match(plain.text, /^# TYPE attempt_failures_total counter$/m);
    }
  });

  test('names no trace that nobody keeps', () => {
    assert.deepEqual(exemplarOf(SAMPLED), { trace_id: 'a'.repeat(32) });
    for (const none of [UNSAMPLED, null, '', 'nonsense']) assert.deepEqual(exemplarOf(none), {}, String(none));
  });
});

test('only the relay that leads tells of the outbox', async () => {
  let leading = false;
  const metrics = createMetrics('s');
  metrics.of(relayMetrics).watch({
    leads: () => leading,
    outbox: async () => [{ lane: 'normal', state: 'waiting', prompts: 4, oldestSeconds: 9 }],
    workers: async () => ({ workers: 2, slots: 10, running: 3 }),
    parkedModels: async () => [{ model: 'm', reason: 'breaker', seconds: 5 }],
  });
  const expose = createExposition(metrics.registry);
  const values = async () =>
    (await expose(undefined)).text
      .split('\n')
      .filter((line) => /^(relay_leads|outbox_|workers_|model_parked)/.test(line))
      .map((line) => line.replace(',application="prompt-orchestrator"', ''));
  assert.deepEqual(await values(), ['relay_leads{service="s"} 0']);
  leading = true;
  assert.deepEqual(await values(), [
    'relay_leads{service="s"} 1',
    'outbox_prompts{lane="normal",state="waiting",service="s"} 4',
    'outbox_oldest_seconds{lane="normal",state="waiting",service="s"} 9',
    'workers_live{service="s"} 2',
    'workers_slots{service="s"} 10',
    'workers_running{service="s"} 3',
    'model_parked_seconds{model="m",reason="breaker",service="s"} 5',
  ]);
});

describe('a counter', () => {
  const linesOf = async (metrics: Metrics, name: string) => {
    const { text } = await createExposition(metrics.registry)(undefined);
    return text.split('\n').filter((line) => line.startsWith(`${name}{`));
  };

  test('whose labels are known stands at 0 before its first time, which `increase` would not see', async () => {
    const metrics = createMetrics('s');
    metrics.of(attemptMetrics).expectFailures(['m'], ['blocked', 'lease_lost']);
    metrics.of(attemptMetrics).expectCharges(['m']);
    metrics.of(attemptMetrics).expectTokens(['m']);
    metrics.of(promptMetrics).expectAccepted(['m']);
    metrics.of(promptMetrics).expectEnded(['m']);
    metrics.of(workerMetrics).expect(['m']);
    for (const [name, count] of [
      ['attempt_failures_total', 2],
      ['tokens_total', 8],
      ['cost_nano_usd_total', 6],
      ['prompts_accepted_total', 3],
      ['prompts_ended_total', 4],
      ['model_parkings_total', 4],
    ] as const) {
      const lines = await linesOf(metrics, name);
      assert.equal(lines.length, count, name);
      assert.ok(
        lines.every((line) => line.includes('model="m"') && line.endsWith(' 0')),
        lines.join('\n'),
      );
    }
  });

  test('goes on from there, not beside it', async () => {
    const metrics = createMetrics('s');
    const attempts = metrics.of(attemptMetrics);
    const expectAll = () => {
      attempts.expectFailures(['m'], ['blocked']);
      attempts.expectCharges(['m'], ['wasted']);
    };
    expectAll();
    attempts.onFailure({ model: 'm', code: 'blocked', retried: true });
    attempts.onCharged({ model: 'm', account: 'wasted', usage: null, nanoUsd: 7, boundNanoUsd: null, emulated: false });
    expectAll();
    assert.match((await linesOf(metrics, 'attempt_failures_total')).join('\n'), /^[^\n]*code="blocked"[^\n]* 1$/);
    const cost = await linesOf(metrics, 'cost_nano_usd_total');
    assert.deepEqual(
      cost.filter((line) => !line.endsWith(' 0')).map((line) => line.split('"} ')[1]),
      ['7'],
    );
  });

  test('of values that could not be read has each of them', async () => {
    const metrics = createMetrics('s');
    metrics.of(relayMetrics);
    const lines = await linesOf(metrics, 'metrics_read_failures_total');
    assert.ok(
      lines.some((line) => /metric="outbox_prompts".* 0$/.test(line)),
      lines.join('\n'),
    );
  });
});

test('how the last rebuild ended is told of every way it can end, or of none', async () => {
  const metrics = createMetrics('s');
  let last: string | null = null;
  metrics.of(projectorMetrics).watchLastRebuild(async () => last);
  const told = async () => {
    const { text } = await createExposition(metrics.registry)(undefined);
    return [...text.matchAll(/^rebuild_last_outcome\{outcome="(\w+)".*\} (\d)$/gm)].map(([, way, n]) => `${way} ${n}`);
  };
  assert.deepEqual(await told(), []);
  last = 'failed';
  assert.deepEqual(await told(), ['switched 0', 'kept 0', 'dropped 0', 'failed 1', 'cancelled 0']);
});

test('a group is made once, however many ask for it', () => {
  const metrics = createMetrics('s');
  assert.equal(metrics.of(workerMetrics), metrics.of(workerMetrics));
});
