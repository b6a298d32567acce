/** A provider that answers nobody: the model is parked for all workers; our own cuts are not its fault. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cleanup } from '../testing/kit/cleanup.ts';
import { until } from '../testing/kit/until.ts';
import { completed, createRig, createScript, type Rig, unbilled } from '../testing/kit/worker-rig.ts';

const t = cleanup(after);
let rig: Rig;
before(async () => {
  rig = await createRig(t);
});

const parked = async (model: string) =>
  (
    await rig.database.pool.query<{ reason: string; seconds: number }>(
      'SELECT reason, extract(epoch FROM until - clock_timestamp())::float8 AS seconds FROM parked_model WHERE model = $1',
      [model],
    )
  ).rows[0] ?? null;
const refusal = { type: 'retry', code: 'provider_503', message: 'no', billing: unbilled, emulated: false } as const;

describe('a model that answers nobody', () => {
  test('is parked for every worker, and asked again when the parking is over', async (c) => {
    const line = rig.createLine();
    const model = 'silent-model';
    const ids = [];
    for (let i = 0; i < 30; i += 1) ids.push(await rig.submit({ model }));
    const script = createScript(() => refusal);
    await line.dispatch(...ids);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { slots: 10, breaker: { prompts: 5, silentMs: 0, forgetMs: 60_000, parkSeconds: 30, parkCapSeconds: 30 } },
    );
    const parking = await until('it is parked', () => parked(model));
    assert.equal(parking.reason, 'breaker');
    assert.ok(parking.seconds > 20 && parking.seconds <= 30, `${parking.seconds} s`);
    assert.ok(line.warnings.some(({ message }) => message.includes('it is parked')));
  });

  test('is not parked for calls that were cut by us', async (c) => {
    const line = rig.createLine();
    const model = 'cancelled-model';
    const ids = [];
    for (let i = 0; i < 10; i += 1) ids.push(await rig.submit({ model }));
    const own = ['cancelled', 'shutdown'] as const;
    let n = 0;
    const script = createScript(() => {
      n += 1;
      return n < 10
        ? {
            type: 'unknown',
            code: own[n % 2]!,
            message: 'cut',
            billing: { known: false, rawUsage: null },
            emulated: false,
          }
        : completed();
    });
    await line.dispatch(...ids);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { slots: 1, breaker: { prompts: 2, silentMs: 0, forgetMs: 60_000, parkSeconds: 30, parkCapSeconds: 30 } },
    );
    await until('all were called', () => script.calls.length >= 10);
    assert.equal(await parked(model), null);
  });
});
