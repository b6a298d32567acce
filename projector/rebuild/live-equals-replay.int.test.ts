/**
 * What a projector made live, event by event, with crashes, and what a rebuild makes of the same log in lanes, with
 * crashes: the same tables, byte for byte, on every run. Drawn by a seed; one is of the clock, and `SEED=` runs it again.
 */
import assert from 'node:assert/strict';
import { after, afterEach, describe, test } from 'node:test';
import { armFailPoints } from '../../platform/fail-points.ts';
import { createAppender } from '../../platform/postgres/appender.ts';
import { listParked } from '../../platform/postgres/parked.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { readHead } from '../../platform/postgres/read.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase } from '../../testing/kit/database.ts';
import { appendHistory, appendRareHistory } from '../../testing/kit/histories.ts';
import { createRandom } from '../../testing/kit/random.ts';
import { randomLog, writeLog } from '../../testing/kit/random-log.ts';
import { readModels } from '../../testing/kit/read-models.ts';
import { appendStrange } from '../../testing/kit/strange-event.ts';
import { latch } from '../../testing/kit/until.ts';
import { replayParked } from '../parking/replay-parked.ts';
import { projectBatch } from '../project-batch.ts';
import { createProjectionStore, createStore } from '../projection-store.ts';
import { promptsProjection } from '../projections/prompts/projection.ts';
import { RebuildBusyError, rebuild } from './rebuild.ts';
import { listVersions } from './versions.ts';

const t = cleanup(after);
/** The process dies there, as far as anybody outside can tell. */
const CRASHES = [
  'projector.folded',
  'projector.written',
  'projector.committed',
  'rebuild.lane_moved',
  'rebuild.page_folded',
  'rebuild.folded',
  'rebuild.indexed',
  'rebuild.compared',
];
/** By where it happens: pages are many, and each of their lanes writes. */
const chanceOf = (name: string) => (name === 'rebuild.lane_moved' ? 0.02 : name.startsWith('rebuild') ? 0.3 : 0.1);
afterEach(() => armFailPoints(() => {}));

const DAY = 86_400_000;
const drawn = Number(process.env['SEED'] ?? Date.now() % 1_000_000);

/** Of the first two lanes that write, the one commits and the other does not. */
function standApart(): () => void {
  let writes = 0;
  return () => {
    writes += 1;
    if (writes === 2) throw new Error('crashed at the write of one lane');
  };
}

/** The projection of a release that cannot read the second event of a stream. */
const faulty = (streamId: string): typeof promptsProjection => ({
  ...promptsProjection,
  fold: (states, events) => {
    if (events.some((event) => event.streamId === streamId && event.version === 2)) throw new TypeError('cannot read');
    return promptsProjection.fold(states, events);
  },
});

for (const seed of [1, 2, 3, 4, drawn]) {
  test(`seed ${seed}: live equals replay`, async () => {
    const random = createRandom(seed);
    const database = await createTestDatabase(t);
    const pool = createPool({ uri: database.uri, name: 'live-equals-replay', max: 8, onError: () => {} });
    t.after(() => pool.end());
    const appender = createAppender({ pool, queueLimit: 10_000 });
    t.after(() => appender.stop());
    const append = (n: number) => (n % 2 ? appendRareHistory : appendHistory)(appender.append, n);
    const write = (from: number, n: number) => Promise.all(Array.from({ length: n }, (_, i) => append(from + i)));
    const [replayed, apart] = [latch(), standApart()];
    let crashes = 0;
    armFailPoints(async (name) => {
      if (name === 'rebuild.lane_moved') await apart();
      if (name === 'rebuild.folded') await replayed.promise; // before anything is compared
      if (!CRASHES.includes(name) || !random.chance(chanceOf(name))) return;
      crashes += 1;
      throw new Error(`crashed at ${name}`);
    });
    const isCrash = (error: unknown) => {
      // The server may hold the lock of who has crashed for a moment longer.
      if (!/crashed at/.test(String(error)) && !(error instanceof RebuildBusyError)) throw error;
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
    // Weeks of a log that was there before, and what comes while all of this runs.
    const now = Date.now();
    await writeLog(database, randomLog({ seed, prompts: 60, users: 5, from: now - 20 * DAY, to: now - DAY }));
    const streamId = random.pick((await write(0, 40)).filter((_, n) => n % 2 === 0));
    await parkOne(streamId);
    const tails = [tail(), tail()];
    const writing = (async () => {
      for (let i = 1; i <= 4; i += 1) await write(i * 40, 40);
    })();
    const once = (lanes: number) =>
      rebuild({
        uri: database.uri,
        dryRun: false,
        lanes,
        batchSize: random.between(3, 80),
        onProgress: () => {},
      }).catch(isCrash);
    assert.equal(await once(random.between(2, 6)), null);
    const { rows: lanes } = await database.pool.query('SELECT DISTINCT position FROM cursor WHERE lane > 0');
    assert.ok(lanes.length > 1, 'lanes stand apart');
    const replaying = replayOne(streamId).then(replayed.release);
    let result = await once(1);
    while (!result) result = await once(random.between(1, 6));
    await Promise.all([writing, replaying]);
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
    assert.deepEqual((await listParked(pool, { after: null, limit: 10 })).data, []);

    /** As far as the log goes, by a projector that cannot read one of the streams. */
    async function parkOne(streamId: string): Promise<void> {
      const store = createStore(pool, faulty(streamId), 1);
      const step = () => projectBatch({ store, batchSize: 50, onPoison: 'park' }).catch(isCrash);
      while ((await step())?.status !== 'idle');
      const { data } = await listParked(pool, { after: null, limit: 10 });
      assert.deepEqual(
        data.map((one) => one.streamId),
        [streamId],
      );
    }

    async function replayOne(streamId: string): Promise<void> {
      const parked = { projection: 'prompts', version: 1, streamId };
      let done = null;
      while (!done) done = await replayParked(pool, parked).catch(isCrash);
      assert.equal(done.stopped, null);
    }
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
