/**
 * What a projector made live, event by event, with crashes, and what a rebuild makes of the same log in lanes, with
 * crashes: the same tables, byte for byte, on every run. Drawn by a seed.
 */
import assert from 'node:assert/strict';
import { after, afterEach, describe, test } from 'node:test';
import { armFailPoints } from '../../platform/fail-points.ts';
import { createAppender } from '../../platform/postgres/appender.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { readHead } from '../../platform/postgres/read.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase } from '../../testing/kit/database.ts';
import { appendHistory } from '../../testing/kit/histories.ts';
import { createRandom } from '../../testing/kit/random.ts';
import { readModels } from '../../testing/kit/read-models.ts';
import { appendStrange } from '../../testing/kit/strange-event.ts';
import { projectBatch } from '../project-batch.ts';
import { createProjectionStore } from '../projection-store.ts';
import { rebuild } from './rebuild.ts';
import { listVersions } from './versions.ts';

const t = cleanup(after);
/** The process dies there, as far as anybody outside can tell. */
const CRASHES = [
  'projector.folded',
  'projector.written',
  'projector.committed',
  'rebuild.page_folded',
  'rebuild.folded',
  'rebuild.indexed',
  'rebuild.compared',
];
afterEach(() => armFailPoints(() => {}));

for (const seed of [1, 2, 3, 4]) {
  test(`seed ${seed}: live equals replay`, async () => {
    const random = createRandom(seed);
    const database = await createTestDatabase(t);
    const pool = createPool({ uri: database.uri, name: 'live-equals-replay', max: 8, onError: () => {} });
    t.after(() => pool.end());
    const appender = createAppender({ pool, queueLimit: 10_000 });
    t.after(() => appender.stop());
    const write = (from: number, n: number) =>
      Promise.all(Array.from({ length: n }, (_, i) => appendHistory(appender.append, from + i)));
    let crashes = 0;
    armFailPoints((name) => {
      if (!CRASHES.includes(name) || !random.chance(name.startsWith('rebuild') ? 0.3 : 0.1)) return;
      crashes += 1;
      throw new Error(`crashed at ${name}`);
    });
    const isCrash = (error: unknown) => {
      if (!/crashed at/.test(String(error))) throw error;
      return null;
    };

    // Two projectors, as after a fail-over that was none; whoever crashes begins again from what is committed.
    let running = true;
    const tail = async () => {
      while (running) {
        for (const { version, status, frozen } of await listVersions(pool)) {
          if (status !== 'ready' || frozen) continue;
          const store = createProjectionStore(pool, version);
          // A version may be dropped while it is tailed.
          await projectBatch({ store, batchSize: random.between(1, 60), onPoison: 'stop' }).catch((error) =>
            /no version|does not exist/.test(String(error)) ? null : isCrash(error),
          );
        }
      }
    };
    await write(0, 40);
    const tails = [tail(), tail()];
    const writing = (async () => {
      for (let i = 1; i <= 4; i += 1) await write(i * 40, 40);
    })();
    const once = () =>
      rebuild({
        uri: database.uri,
        dryRun: false,
        lanes: random.between(1, 6),
        batchSize: random.between(3, 80),
        onProgress: () => {},
      }).catch(isCrash);
    let result = await once();
    while (!result) result = await once();
    await writing;
    assert.deepEqual([result.outcome, result.equal], ['switched', true]);
    running = false;
    await Promise.all(tails);
    armFailPoints(() => {});
    assert.ok(crashes > 0, 'nothing crashed');

    for (const version of [result.former, result.version]) {
      const store = createProjectionStore(pool, version);
      while ((await projectBatch({ store, batchSize: 500, onPoison: 'stop' })).status !== 'idle');
    }
    const bare = (tables: Record<string, string[]>) =>
      Object.fromEntries(Object.entries(tables).map(([name, rows]) => [name.replace(/_v\d+$/, ''), rows]));
    const live = bare(await readModels(database.pool, result.former));
    assert.ok(Object.values(live).every((rows) => rows.length > 0));
    assert.deepEqual(bare(await readModels(database.pool, result.version)), live);
  });
}

describe('a rebuild in lanes', () => {
  test('stops at an event nobody knows, and says where; every other version stays as it was', async () => {
    const database = await createTestDatabase(t);
    const pool = createPool({ uri: database.uri, name: 'stops', max: 4, onError: () => {} });
    t.after(() => pool.end());
    const appender = createAppender({ pool, queueLimit: 10_000 });
    t.after(() => appender.stop());
    await Promise.all(Array.from({ length: 5 }, (_, i) => appendHistory(appender.append, i)));
    // A way back, and a version that is kept apart.
    const quiet = { uri: database.uri, onProgress: () => {} };
    assert.equal((await rebuild({ ...quiet, dryRun: false, acceptDifferences: true })).outcome, 'switched');
    assert.equal((await rebuild({ ...quiet, dryRun: false, until: { position: 3 } })).outcome, 'kept');
    const before = await listVersions(pool);
    const streamId = '01900000-0000-7000-8000-000000000001';
    await appendStrange(database.pool, streamId);
    const position = await readHead(pool);
    for (const over of [{}, { dryRun: true }, { until: { position } }]) {
      await assert.rejects(rebuild({ ...quiet, dryRun: false, ...over }), {
        code: 'rebuild_refused',
        message: new RegExp(
          `^event ${position} of stream ${streamId}: .*PromptVanished.*is dropped; all others are as they were.*: npm run replay$`,
        ),
      });
      assert.deepEqual(await listVersions(pool), before);
    }
  });

  test('is broken off between two pages, and goes on from there', async () => {
    const database = await createTestDatabase(t);
    const pool = createPool({ uri: database.uri, name: 'broken-off', max: 4, onError: () => {} });
    t.after(() => pool.end());
    const appender = createAppender({ pool, queueLimit: 10_000 });
    t.after(() => appender.stop());
    await Promise.all(Array.from({ length: 30 }, (_, i) => appendHistory(appender.append, i)));
    const stop = new AbortController();
    const first = { uri: database.uri, dryRun: false, lanes: 3, batchSize: 10 };
    const onProgress = ({ position }: { position: number }) => {
      if (position >= 10) stop.abort();
    };
    await assert.rejects(rebuild({ ...first, signal: stop.signal, onProgress }), { name: 'AbortError' });
    const store = createProjectionStore(pool, 1);
    while ((await projectBatch({ store, batchSize: 500, onPoison: 'stop' })).status !== 'idle');
    const [, begun] = await listVersions(pool);
    assert.equal(begun?.status, 'building');
    assert.ok(begun.position >= 10);
    const seen: { position: number; resumed: boolean }[] = [];
    const result = await rebuild({ ...first, lanes: 1, onProgress: (progress) => seen.push(progress) });
    assert.ok(seen[0]?.resumed && seen[0].position >= 10);
    assert.deepEqual([result.version, result.outcome, result.equal], [2, 'switched', true]);
  });
});
