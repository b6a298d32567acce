import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { type HeldAnswer, openSpool } from './spool.ts';
import { spoolKey } from './spool-file.ts';

const folders: string[] = [];
let dir: string;
const told: object[] = [];
const logger = { error: (fields: object) => void told.push(fields) };
const key = spoolKey(Buffer.alloc(32, 7));
const charge = { usage: null, rawUsage: null, nanoUsd: 5, boundNanoUsd: null, priceVersion: 'p', emulated: false };

const answer = (token: string, text = 'a very secret answer'): HeldAnswer => ({
  promptId: 'p-1',
  attempt: 1,
  token,
  traceparent: null,
  correlationId: 'c',
  result: {
    attempt: 1,
    token,
    charge,
    end: 'completed',
    answer: text,
    encoding: 'plain',
    finishReason: 'STOP',
    truncated: false,
    modelVersion: null,
  },
});

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'spool-'));
  folders.push(dir);
  told.length = 0;
});
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

describe('a spool', () => {
  test('gives back to the next process what was put and not removed', async () => {
    const one = await openSpool({ dir, key, logger });
    await one.put(answer('t-1'));
    await one.put(answer('t-2', 'x'.repeat(3_000_000)));
    await one.put(answer('t-3'));
    await one.remove('t-1');
    await one.remove('never-put');
    const next = await openSpool({ dir, key, logger });
    const held = await next.held();
    assert.deepEqual(
      held.sort((a, b) => (a.token < b.token ? -1 : 1)),
      [answer('t-2', 'x'.repeat(3_000_000)), answer('t-3')],
    );
    assert.deepEqual(told, []);
  });

  test('shows no word of an answer on the disk, and nothing to other users', async () => {
    const spool = await openSpool({ dir, key, logger });
    await spool.put(answer('t-1'));
    const [name] = await readdir(dir);
    const bytes = await readFile(join(dir, name!));
    assert.ok(!bytes.includes('secret') && !bytes.includes('p-1'));
    const { mode } = await import('node:fs').then((fs) => fs.statSync(join(dir, name!)));
    assert.equal(mode & 0o077, 0);
  });

  const damages: Record<string, (file: string) => Promise<unknown>> = {
    'that was cut in its header': (file) => truncate(file, 9),
    'that was cut in the middle': (file) => truncate(file, 60),
    'that is empty': (file) => truncate(file, 0),
    'of which one bit changed': async (file) => {
      const bytes = await readFile(file);
      bytes[bytes.length - 3]! ^= 1;
      await writeFile(file, bytes);
    },
    'that is none': (file) => writeFile(file, 'x'.repeat(200)),
    'that was put under another name': (file) => rename(file, join(dir, 't-9.answer')),
  };
  for (const [what, damage] of Object.entries(damages)) {
    test(`sets a file aside ${what}, tells it once, and gives the others`, async () => {
      const spool = await openSpool({ dir, key, logger });
      await spool.put(answer('t-1'));
      await spool.put(answer('t-2'));
      await damage(join(dir, 't-1.answer'));
      assert.deepEqual(await spool.held(), [answer('t-2')]);
      assert.equal(told.length, 1);
      assert.deepEqual(await spool.held(), [answer('t-2')]);
      assert.equal(told.length, 1);
    });
  }

  test('leaves files of another database where they are: the right key opens them later', async () => {
    await (await openSpool({ dir, key, logger })).put(answer('t-1'));
    const other = await openSpool({ dir, key: spoolKey(Buffer.alloc(32, 8)), logger });
    assert.deepEqual([await other.held(), told.length], [[], 1]);
    assert.deepEqual(await (await openSpool({ dir, key, logger })).held(), [answer('t-1')]);
  });

  test('gives the others when one cannot be read', async () => {
    const spool = await openSpool({ dir, key, logger });
    await spool.put(answer('t-2'));
    await mkdir(join(dir, 't-1.answer'));
    assert.deepEqual(await spool.held(), [answer('t-2')]);
    assert.equal(told.length, 1);
  });

  test('takes away drafts of old, and leaves what is being written', async () => {
    const spool = await openSpool({ dir, key, logger });
    await writeFile(join(dir, 't-1.answer.aa.draft'), 'half');
    await utimes(join(dir, 't-1.answer.aa.draft'), 1, 1);
    await writeFile(join(dir, 't-2.answer.bb.draft'), 'being written');
    assert.deepEqual(await spool.held(), []);
    assert.deepEqual(await readdir(dir), ['t-2.answer.bb.draft']);
  });

  test('gives the others when what is left of an old write cannot be taken away', async () => {
    const spool = await openSpool({ dir, key, logger });
    await spool.put(answer('t-2'));
    await mkdir(join(dir, 't-1.answer.aa.draft'));
    await utimes(join(dir, 't-1.answer.aa.draft'), 1, 1);
    assert.deepEqual(await spool.held(), [answer('t-2')]);
    assert.equal(told.length, 1);
  });

  test('written twice at once, by two workers, holds one whole answer', async () => {
    const [one, two] = [await openSpool({ dir, key, logger }), await openSpool({ dir, key, logger })];
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? one : two).put(answer('t-1', 'y'.repeat(200_000)))),
    );
    assert.deepEqual(await one.held(), [answer('t-1', 'y'.repeat(200_000))]);
    assert.deepEqual(await readdir(dir), ['t-1.answer']);
  });

  test('says so when it cannot write', async () => {
    const spool = await openSpool({ dir, key, logger });
    await rm(dir, { recursive: true });
    await assert.rejects(spool.put(answer('t-1')), { code: 'ENOENT' });
    await writeFile(dir, 'a file where the folder was');
    await assert.rejects(spool.put(answer('t-1')), { code: 'ENOTDIR' });
    await chmod(dir, 0o600);
  });
});
