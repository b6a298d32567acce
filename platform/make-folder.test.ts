import assert from 'node:assert/strict';
import fs, { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { ConfigError } from './config/load.ts';
import { writableFolder } from './config/writable-folder.ts';
import { makeFolder } from './make-folder.ts';

const parent = mkdtempSync(join(tmpdir(), 'orchestrator-folders-'));
after(() => rmSync(parent, { recursive: true, force: true }));

describe('a folder', () => {
  test('is made with those above it, for its owner alone; the uppermost that was new is told', () => {
    const folder = join(parent, 'a/b/c');
    assert.equal(makeFolder(folder), join(parent, 'a'));
    assert.equal(statSync(join(parent, 'a')).mode & 0o777, 0o700);
    assert.equal(makeFolder(join(parent, 'a/b/d')), join(parent, 'a/b/d'));
    assert.equal(makeFolder(folder), undefined);
  });

  test('that cannot be made is an error, where files stand above it and below /proc', { timeout: 10_000 }, () => {
    const file = join(parent, 'file');
    writeFileSync(file, '');
    assert.throws(() => makeFolder(file), { code: 'EEXIST' });
    assert.throws(() => makeFolder(join(file, 'data')), { code: 'ENOTDIR' });
    if (existsSync('/proc')) assert.throws(() => makeFolder('/proc/none/data'), { code: 'ENOENT' });
  });

  test('that a variable names must be one that can be written, else the variable is told with what to do', () => {
    assert.equal(writableFolder('SPOOL_DIR', join(parent, 'spool')), join(parent, 'spool'));
    const closed = join(parent, 'file', 'data');
    assert.throws(
      () => writableFolder('DATA_DIR', closed),
      (error: unknown) => {
        const problem = `DATA_DIR: the folder "${closed}" cannot be written (ENOTDIR): give it to this user, or set DATA_DIR to another one`;
        return error instanceof ConfigError && error.problems.length === 1 && error.problems[0] === problem;
      },
    );
  });

  test('on a full disk is taken: a worker must start to settle what its spool holds', (t) => {
    const folder = join(parent, 'full');
    makeFolder(folder);
    t.mock.method(fs, 'openSync', () => {
      throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    });
    syncBuiltinESMExports();
    t.after(() => {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    });
    assert.equal(writableFolder('SPOOL_DIR', folder), folder);
  });
});
