/** The private servers as a careless machine treats them: killed, left over, in folders that few may enter. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import pg from 'pg';
import { writableFolder } from '../../../platform/config/writable-folder.ts';
import { cleanup } from '../../../testing/kit/cleanup.ts';
import { lockDataDir } from './data-dir.ts';
import { startPostgres } from './postgres.ts';
import type { PrivilegeMode } from './privilege.ts';
import { end, identify, isAlive } from './process-identity.ts';
import { startRedis } from './redis.ts';
import { StartError } from './start-error.ts';

const ROOT = join(import.meta.dirname, '../../..');
const t = cleanup(after);
const isRoot = process.getuid?.() === 0;

/** mkdtemp makes it with mode 0700, as a root-only home would be. */
function newDataDir(): string {
  const parent = mkdtempSync(join(tmpdir(), 'orchestrator-servers-'));
  t.after(async () => rmSync(parent, { recursive: true, force: true }));
  return writableFolder('DATA_DIR', join(parent, 'data'));
}

const settings = { fsync: 'off' };
async function query(uri: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: uri });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

describe('PostgreSQL', () => {
  const modes: PrivilegeMode[] = isRoot ? ['user-namespace', 'other-user'] : ['direct'];
  for (const mode of modes) {
    test(`(${mode}) serves below a folder that only its owner may enter, is adopted, stopped and found again`, async () => {
      const dataDir = newDataDir();
      const first = await startPostgres({ dataDir, settings, mode });
      await query(first.uri, 'CREATE TABLE kept (n integer); INSERT INTO kept VALUES (7)');
      // As after kill -9 of whoever started it: the server lives, and the record names it.
      const adopted = await startPostgres({ dataDir, settings, mode });
      assert.deepEqual([adopted.adopted, adopted.pid], [true, first.pid]);
      await adopted.stop();
      assert.equal(identify(first.pid), null);
      const again = await startPostgres({ dataDir, settings, mode });
      assert.deepEqual([again.adopted, await query(again.uri, 'SELECT n FROM kept')], [false, [{ n: 7 }]]);
      await again.stop();
      const home = join(dataDir, 'postgres-home');
      if (mode === 'other-user') rmSync(readFileSync(home, 'utf8'), { recursive: true });
      else assert.ok(!existsSync(home));
    });
  }

  test('killed with -9 comes back with its data, whatever its lock file says', async () => {
    const dataDir = newDataDir();
    const first = await startPostgres({ dataDir, settings });
    await query(first.uri, 'CREATE TABLE kept (n integer); INSERT INTO kept VALUES (7)');
    const identity = identify(first.pid)!;
    assert.ok(await end(identity, 'SIGKILL', 5_000));
    // The number of a process that lives and has nothing to do with it.
    const lock = join(dataDir, 'postgres/postmaster.pid');
    const lines = readFileSync(lock, 'utf8').split('\n');
    writeFileSync(lock, [String(process.pid), ...lines.slice(1)].join('\n'));
    const again = await startPostgres({ dataDir, settings });
    assert.deepEqual(await query(again.uri, 'SELECT n FROM kept'), [{ n: 7 }]);
    await again.stop();
  });

  test('that nobody remembers is ended before the next is started', async () => {
    const dataDir = newDataDir();
    const first = await startPostgres({ dataDir, settings });
    const identity = identify(first.pid)!;
    rmSync(join(dataDir, 'postgres.json'));
    const again = await startPostgres({ dataDir, settings });
    assert.notEqual(again.pid, first.pid);
    assert.equal(isAlive(identity), false);
    await again.stop();
  });

  test('does not take an alien process for a server that was left', async () => {
    const dataDir = newDataDir();
    const alien = spawn('sleep', ['60'], { stdio: 'ignore' });
    await new Promise((resolve) => alien.once('spawn', resolve));
    const record = { ...identify(alien.pid!)!, port: 1 };
    writeFileSync(join(dataDir, 'postgres.json'), JSON.stringify({ ...record, startedAt: '1' }));
    const server = await startPostgres({ dataDir, settings });
    assert.equal(server.adopted, false);
    assert.ok(isAlive(record), 'the alien process lives');
    alien.kill();
    await server.stop();
  });

  test('asks for a password, and keeps it for its user alone', async () => {
    const dataDir = newDataDir();
    const server = await startPostgres({ dataDir, settings });
    const wrong = new URL(server.uri);
    wrong.password = 'guess';
    await assert.rejects(query(wrong.href, 'SELECT 1'), { code: '28P01' });
    assert.equal(statSync(join(dataDir, 'postgres-password')).mode & 0o777, 0o600);
    await server.stop();
  });
});

describe('Redis', () => {
  const start = (dataDir: string) => startRedis({ dataDir, cacheDir: join(ROOT, '.cache') });

  test('evicts nothing, asks for a password, is adopted, and ends when told', async () => {
    const dataDir = newDataDir();
    const first = await start(dataDir);
    const client = new Redis(first.uri, { maxRetriesPerRequest: 1 });
    assert.deepEqual(await client.config('GET', 'maxmemory-policy'), ['maxmemory-policy', 'noeviction']);
    client.disconnect();
    const stranger = new Redis({ host: '127.0.0.1', port: first.port, enableReadyCheck: false });
    stranger.on('error', (error) => assert.match(error.message, /NOAUTH/));
    await assert.rejects(stranger.ping(), /NOAUTH/);
    stranger.disconnect();
    const again = await start(dataDir);
    assert.deepEqual([again.adopted, again.pid], [true, first.pid]);
    await again.stop();
    assert.equal(identify(first.pid), null);
  });

  test('that cannot be had is one clear sentence with what to do', async () => {
    const program = `
      import { findRedis } from ${JSON.stringify(new URL('redis-binary.ts', import.meta.url).href)};
      try { findRedis(process.argv[1]); } catch (error) { console.log(error.constructor.name + ': ' + error.message); }
    `;
    const cacheDir = join(dirname(newDataDir()), 'cache');
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program, cacheDir], {
      cwd: ROOT,
      env: { PATH: '/nonexistent' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.on('data', (piece) => {
      said += piece;
    });
    await new Promise((resolve) => child.once('exit', resolve));
    assert.match(
      said,
      /^StartError: There is no redis-server on PATH and none could be fetched \(.*\): install Redis 7/,
    );
    assert.equal(said.trim().split('\n').length, 1);
  });
});

describe('the data folder', () => {
  test('is of one stack at a time; a dead one’s lock is taken over, a torn one too', async () => {
    const dataDir = newDataDir();
    const lock = lockDataDir(dataDir);
    assert.throws(
      () => lockDataDir(dataDir),
      (error: unknown) => error instanceof StartError && /in use by process/.test(error.message),
    );
    lock.release();
    const file = join(dataDir, 'stack.lock');
    for (const left of [JSON.stringify({ pid: process.pid, startedAt: '1' }), '{"pid":', '']) {
      writeFileSync(file, left);
      lockDataDir(dataDir).release();
    }
  });
});
