import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { checkRoom, folderBytes, watchMost } from './disk.ts';

describe('the disk', () => {
  test('that has not the room is told, with how much is needed and where', () => {
    checkRoom(tmpdir(), 1);
    assert.throws(() => checkRoom(tmpdir(), 1e18), {
      message: new RegExp(`^1150000000\\.0 GB of disk are needed in ${tmpdir()}, \\d+\\.\\d+ GB are free$`),
    });
  });

  test('has what lies in folders of a folder, and nothing in one that is gone', () => {
    const folder = mkdtempSync(join(tmpdir(), 'orchestrator-disk-'));
    try {
      mkdirSync(join(folder, 'a/b'), { recursive: true });
      writeFileSync(join(folder, 'a/b/file'), Buffer.alloc(100_000, 1));
      writeFileSync(join(folder, 'file'), Buffer.alloc(50_000, 1));
      const bytes = folderBytes(folder);
      assert.ok(bytes >= 150_000 && bytes < 200_000, String(bytes));
      assert.equal(folderBytes(join(folder, 'gone')), 0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('is looked at once more when that is to end, and the most is told', async () => {
    let bytes = 3;
    const looks: number[] = [];
    const stop = watchMost(() => {
      looks.push(bytes);
      return bytes;
    }, 3_600_000);
    bytes = 7;
    assert.equal(await stop(), 7);
    assert.deepEqual(looks, [3, 7]);
  });

  test('that cannot be looked at is an error of who stops', async () => {
    const stop = watchMost(() => {
      throw new Error('no disk');
    }, 1);
    await assert.rejects(stop(), /no disk/);
  });
});
