/** Every log that a release has ever written is read to the same answers. Goldens are not made anew: they are the promise. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { eventTypes } from '../../contracts/prompt/events.ts';
import { countParked } from '../../platform/postgres/parked.ts';
import { cleanup } from '../kit/cleanup.ts';
import { createTestDatabase } from '../kit/database.ts';
import { writeLog } from '../kit/log-copy.ts';
import { startTestStack } from '../kit/stack.ts';
import { until } from '../kit/until.ts';
import { differences, rankedAsToday, readStoredLog, storedReleases } from './stored-log.ts';

const t = cleanup(after);

test('there is a log of every release', () => {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
    version: string;
  };
  assert.ok(storedReleases().includes('0.1.0'));
  assert.ok(storedReleases().includes(version), 'run "npm run record-log" once for the release');
});

for (const release of storedReleases()) {
  describe(`the log of release ${release}`, () => {
    const { events, golden, hash } = readStoredLog(release);

    test('is as it was written, with every type of its time', () => {
      assert.equal(hash, golden.sha256, 'a stored log is never edited');
      assert.ok(events.length >= 300);
      const written = new Set(events.map(({ type }) => type));
      if (release === '0.1.0') assert.equal(written.size, 9);
      assert.ok([...written].every((type) => (eventTypes as string[]).includes(type)));
    });

    test('is read to the same answers', async () => {
      const database = await createTestDatabase(t);
      await writeLog(database.pool, events);
      const stack = await startTestStack(t, { database });
      const key = await stack.key('root', 'admin');
      const get = async (path: string) => {
        const response = await fetch(new URL(path, stack.address), { headers: { authorization: `Bearer ${key}` } });
        return { status: response.status, body: (await response.json()) as unknown };
      };
      const head = events.at(-1)!.position;
      await until(
        'all is folded',
        async () => (await get(`/prompts?limit=1&minPosition=${head}`)).status === 200,
        30_000,
      );
      assert.deepEqual(new Set((await countParked(database.pool)).values()), new Set([0]));
      assert.ok(golden.answers.length > 2 * new Set(events.map((event) => event.stream_id)).size);
      const wrong: string[] = [];
      for (const { path, body } of golden.answers) {
        const answer = await get(path);
        if (answer.status !== 200) wrong.push(`${path}: ${answer.status}`);
        const found = differences(rankedAsToday(path, body), answer.body);
        wrong.push(...found.map((difference) => `${path} ${difference}`));
      }
      assert.deepEqual(wrong, []);
    });
  });
}

describe('the comparison', () => {
  test('takes added fields, and nothing else', () => {
    const stored = { a: 1, list: [{ b: 'x', c: null }] };
    assert.deepEqual(differences(stored, { a: 1, new: true, list: [{ b: 'x', c: null, d: 2 }] }), []);
    assert.deepEqual(differences(stored, { a: 2, list: [{ b: 'x' }] }), [
      '/a: 1 was stored, now 2',
      '/list/0/c: null was stored, now undefined',
    ]);
    assert.deepEqual(differences(stored, { a: 1, list: [] }), ['/list: 1 items were stored, 0 are there']);
    assert.equal(differences(stored, { a: 1, list: { 0: { b: 'x', c: null } } }).length, 1);
  });
});
