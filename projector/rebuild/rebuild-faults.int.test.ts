/** A rebuild that dies on its way: the live version is untouched, and the next rebuild begins anew and comes to its end. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { armFailPoints } from '../../platform/fail-points.ts';
import { createAppender } from '../../platform/postgres/appender.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { appendHistory } from '../../testing/kit/histories.ts';
import { run } from '../../testing/kit/process.ts';
import { latch } from '../../testing/kit/until.ts';
import { projectBatch } from '../project-batch.ts';
import { createProjectionStore } from '../projection-store.ts';
import { rebuild } from './rebuild.ts';

const t = cleanup(after);
let database: TestDatabase;
let pool: pg.Pool;
before(async () => {
  database = await createTestDatabase(t);
  pool = createPool({ uri: database.uri, name: 'rebuild-faults', max: 6, onError: () => {} });
  t.after(() => pool.end());
  const appender = createAppender({ pool, queueLimit: 10_000 });
  await Promise.all(Array.from({ length: 20 }, (_, i) => appendHistory(appender.append, i)));
  await appender.stop();
  const store = createProjectionStore(pool, 1);
  while ((await projectBatch({ store, batchSize: 500, onPoison: 'stop' })).status !== 'idle');
});
after(() => armFailPoints(() => {}));

const versions = async () =>
  (
    await database.pool.query<{ version: number; status: string }>(
      `SELECT version, CASE WHEN version = live_version THEN 'live' ELSE status END AS status
         FROM projection_version JOIN projection USING (name) ORDER BY version`,
    )
  ).rows;
const BUSY = 'Another rebuild, or an archive, is running: let it end, or stop it.';
const again = () => rebuild({ uri: database.uri, dryRun: false, onProgress: () => {} });

describe('a rebuild that fails', () => {
  for (const [point, what] of [
    ['rebuild.page_folded', 'in its bulk phase'],
    ['rebuild.indexed', 'when all parts are added up and indexed'],
    ['rebuild.folded', 'when it has folded everything'],
    ['rebuild.compared', 'after the comparison'],
  ] as const) {
    test(`${what} leaves the live version live, and the next one ends`, async () => {
      const [live] = (await versions()).filter(({ status }) => status === 'live');
      armFailPoints((name) => {
        if (name === point) throw new Error(`fail point ${name}`);
      });
      await assert.rejects(again(), new RegExp(`fail point ${point}`));
      assert.deepEqual(
        (await versions()).filter(({ status }) => status === 'live'),
        [live],
      );
      armFailPoints(() => {});
      const { outcome, equal } = await again();
      assert.deepEqual([outcome, equal], ['switched', true]);
      const after = await versions();
      assert.equal(after.filter(({ status }) => status === 'live').length, 1);
      assert.ok(after.at(-1)!.version > live!.version);
    });
  }
});

test('of two rebuilds at once the second is told so, by the tool too; the first is not disturbed', async () => {
  const [reached, held] = [latch(), latch()];
  armFailPoints((name) => {
    if (name !== 'rebuild.page_folded') return;
    reached.release();
    return held.promise;
  });
  const first = again();
  await reached.promise;
  const before = await versions();
  assert.equal(before.filter(({ status }) => status === 'building').length, 1);
  await assert.rejects(again(), { code: 'rebuild_busy', message: BUSY });
  for (const args of [[], ['--dry-run'], ['--until', '3'], ['--drop', '1'], ['--projection', 'ledger']]) {
    const second = run(t, ['cli/replay.ts', ...args], { POSTGRES_URI: database.uri });
    assert.deepEqual([await second.exit, second.said().trim()], [1, BUSY], args.join(' '));
  }
  assert.deepEqual(await versions(), before);
  const jobs = await database.pool.query('SELECT FROM rebuild');
  assert.equal(jobs.rowCount, 0, 'none is left to be done');
  held.release();
  const { outcome, version } = await first;
  assert.deepEqual([outcome, version], ['switched', before.at(-1)!.version]);
});
