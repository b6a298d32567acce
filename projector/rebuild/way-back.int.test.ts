/** What could be served before a rebuild can be served after it, unless another version is served: then the way back is one step long. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { evolve } from '../../contracts/prompt/state.ts';
import { armFailPoints } from '../../platform/fail-points.ts';
import { type ArchivedLog, createLog, replay } from '../../testing/kit/archived-log.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { rebuild } from './rebuild.ts';
import { listVersions, serveVersion, type Version } from './versions.ts';

const t = cleanup(after);
let log: ArchivedLog;
/** With all of its tables: by each version. */
const everything = async () => {
  const versions = await listVersions(log.pool);
  return Promise.all(versions.map(async (version) => ({ version, tables: await log.tables(version.version) })));
};
const versions = async () => (await listVersions(log.pool)).map(({ version, isLive }) => [version, isLive]);
const prices = { name: 'the same', read: evolve };
const isNew = (before: Version[]) => (one: Version) => before.every(({ version }) => version !== one.version);

before(async () => {
  log = await createLog(t, 20);
  assert.equal((await replay(log)).outcome, 'switched');
  await log.project(1);
  assert.deepEqual(await versions(), [
    [1, false],
    [2, true],
  ]);
});
afterEach(() => armFailPoints(() => {}));

describe('every version stays as it was', () => {
  for (const [what, over] of [
    ['a dry run', {}],
    ['a dry run up to a position', { until: { position: 20 } }],
    ['a dry run at other prices', { prices }],
    ['a dry run that takes nothing up', { anew: true }],
  ] as const) {
    test(`after ${what}`, async () => {
      const before = await everything();
      assert.equal((await replay(log, { ...over, dryRun: true })).outcome, 'dropped');
      assert.deepEqual(await everything(), before);
    });
  }

  for (const [what, over] of [
    ['ends at a position', { until: { position: 20 } }],
    ['has other prices', { prices }],
  ] as const) {
    test(`and one that ${what} stands beside them`, async () => {
      const before = await everything();
      const { outcome, version } = await replay(log, over);
      assert.equal(outcome, 'kept');
      const after = await everything();
      assert.deepEqual(after.slice(0, -1), before);
      assert.deepEqual([after.at(-1)!.version.version, after.at(-1)!.version.frozen], [version, true]);
    });
  }

  for (const point of ['rebuild.page_folded', 'rebuild.indexed', 'rebuild.folded', 'rebuild.compared'] as const) {
    test(`after rebuilds that die at ${point}; what they leave is one version, for the next of their kind`, async () => {
      const before = await everything();
      armFailPoints((name) => {
        if (name === point) throw new Error(`died at ${name}`);
      });
      for (let i = 0; i < 2; i += 1) await assert.rejects(replay(log), /died at/);
      const left = (await listVersions(log.pool)).filter(isNew(before.map(({ version }) => version)));
      assert.equal(left.length, 1);
      armFailPoints(() => {});
      // One of another kind does not touch it.
      await replay(log, { until: { position: 7 }, dryRun: true });
      assert.deepEqual((await listVersions(log.pool)).filter(isNew(before.map(({ version }) => version))), left);
      const { version, outcome } = await replay(log, { dryRun: true });
      assert.deepEqual([version, outcome], [left[0]!.version, 'dropped']);
      assert.deepEqual(await everything(), before);
    });
  }

  test('after one that differs from what is served', async () => {
    await log.database.pool.query(`UPDATE prompt_text_v2 SET answer = answer || '?' WHERE answer IS NOT NULL`);
    const before = await everything();
    const { outcome, differing } = await replay(log);
    assert.deepEqual([outcome, differing], ['dropped', ['prompt_text']]);
    assert.deepEqual(await everything(), before);
    assert.equal(await serveVersion(log.pool, 1), true, 'the way back');
    assert.deepEqual((await replay(log, { dryRun: true })).equal, true);
    assert.equal(await serveVersion(log.pool, 2), true, 'and back again');
    await log.database.pool.query(`UPDATE prompt_text_v2 SET answer = rtrim(answer, '?') WHERE answer IS NOT NULL`);
  });
});

test('once another is served, the one before it is the way back, and what was older goes', async () => {
  const kept = (await listVersions(log.pool)).filter(({ frozen }) => frozen);
  assert.equal(kept.length, 2);
  const { version, outcome } = await rebuild({ uri: log.database.uri, dryRun: false, onProgress: () => {} });
  assert.equal(outcome, 'switched');
  const after = await listVersions(log.pool);
  assert.deepEqual(
    after.filter(({ frozen }) => !frozen).map((one) => [one.version, one.isLive, one.verdict]),
    [
      [2, false, 'equal'],
      [version, true, 'equal'],
    ],
  );
  assert.deepEqual(
    after.filter(({ frozen }) => frozen),
    kept,
  );
  const { rows } = await log.database.pool.query(`SELECT FROM pg_class WHERE relname ~ '_v1(_|$)'`);
  assert.equal(rows.length, 0, 'its tables went with it');
});
