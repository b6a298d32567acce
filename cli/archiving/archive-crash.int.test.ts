/** An archive that dies between any two of its steps. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { armFailPoints } from '../../platform/fail-points.ts';
import { readAll, readBounds, readHead } from '../../platform/postgres/read.ts';
import { createLog, replay, stored } from '../../testing/kit/archived-log.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createRandom } from '../../testing/kit/random.ts';

const t = cleanup(after);
afterEach(() => armFailPoints(() => {}));

describe('an archive that is broken off', () => {
  const POINTS = [
    'archive.segment_written',
    'archive.segment_counted',
    'archive.written',
    'archive.floor_raised',
    'archive.streams_left',
  ];
  for (const point of POINTS) {
    test(`at ${point} goes on when it is run again, and nothing is lost`, async () => {
      const log = await createLog(t, 30);
      const before = await log.tables(1);
      const all = (await stored(log)).map(({ row }) => row);
      const head = await readHead(log.pool);
      let crashes = 0;
      armFailPoints((name) => {
        if (name !== point || crashes > 0) return;
        crashes += 1;
        throw new Error(`crashed at ${name}`);
      });
      const options = { segmentEvents: 30 };
      await assert.rejects(log.archive(options), /crashed at/);
      const { floor } = await readBounds(log.pool);
      if (floor === 0)
        assert.deepEqual(
          (await stored(log)).map(({ row }) => row),
          all,
          'nothing is deleted before',
        );
      const done = await log.archive(options);
      assert.deepEqual([crashes, done.floor], [1, head]);
      assert.equal((await log.archive(options)).left.streams, 0, 'nothing is left to do');
      const events = readdirSync(log.dir)
        .filter((name) => name.endsWith('.gz'))
        .sort()
        .flatMap((name) =>
          gunzipSync(readFileSync(join(log.dir, name)))
            .toString()
            .trimEnd()
            .split('\n'),
        )
        .map((line) => (JSON.parse(line) as { position: number }).position);
      assert.deepEqual(
        events,
        Array.from({ length: head }, (_, i) => i + 1),
      );
      assert.ok(!readdirSync(log.dir).some((name) => name.endsWith('.draft')));
      const result = await replay(log);
      assert.equal(result.equal, true);
      assert.deepEqual(await log.tables(result.version), before);
    });
  }
});

for (const seed of [1, 2, 3]) {
  test(`seed ${seed}: archives, crashes and appends in any order leave a log that is replayed to the same tables`, async () => {
    const random = createRandom(seed);
    const log = await createLog(t, 20);
    let crashes = 0;
    armFailPoints((name) => {
      if (!name.startsWith('archive.') || !random.chance(0.2)) return;
      crashes += 1;
      throw new Error(`crashed at ${name}`);
    });
    for (let round = 0; round < 8; round += 1) {
      await log.write(random.between(3, 12));
      await log.project();
      const { head, floor } = await readBounds(log.pool);
      const before = { position: random.between(floor, head) + 1 };
      await log.archive({ before, segmentEvents: random.between(5, 60) }).catch((error: Error) => {
        if (!/crashed at/.test(error.message)) throw error;
      });
      const above = await readBounds(log.pool);
      assert.equal((await readAll(log.pool, above.floor, 10_000)).length, above.head - above.floor);
    }
    armFailPoints(() => {});
    assert.ok(crashes > 0, 'nothing crashed');
    const result = await replay(log);
    assert.equal(result.equal, true);
    assert.deepEqual(await log.tables(result.version), await log.tables(1));
  });
}
