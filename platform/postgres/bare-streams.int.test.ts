/** Streams as a look back reads them: what a fold makes of them is the same, and no text is read. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fold } from '../../contracts/prompt/state.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase } from '../../testing/kit/database.ts';
import { createRandom } from '../../testing/kit/random.ts';
import { randomLog, writeLog } from '../../testing/kit/random-log.ts';
import { readBareStreams, toEvent } from './read.ts';

const t = cleanup(after);

test('without texts, usage blocks and metadata a stream folds to the same, up to any position', async () => {
  const database = await createTestDatabase(t);
  const log = randomLog({ seed: 34, prompts: 300, users: 5, from: 0, to: 86_400_000 });
  await writeLog(database, log);
  const random = createRandom(34);
  const ids = [...new Set(log.map(({ streamId }) => streamId))];
  let folded = 0;
  for (const position of [log.length, ...Array.from({ length: 10 }, () => random.between(1, log.length))]) {
    const expected = Map.groupBy(
      log.filter((event) => event.position <= position),
      ({ streamId }) => streamId,
    );
    const streams = await readBareStreams(database.pool, ids, position);
    assert.equal(streams.size, expected.size);
    for (const [id, rows] of streams) {
      assert.deepEqual(fold(rows.map(toEvent)), fold(expected.get(id)!));
      folded += 1;
      for (const { data, metadata } of rows) {
        assert.deepEqual(metadata, {});
        for (const name of ['prompt', 'answer', 'rawUsage']) assert.equal(name in data, false, name);
      }
    }
  }
  assert.ok(folded > 1_000, `${folded} streams`);
});
