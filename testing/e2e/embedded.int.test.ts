/** The embedded stack as its user meets it: started, stopped, started again. Killed it is in npm-start.check.ts. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createClient } from '../../client/client.ts';
import { type Embedded, startEmbedded, startedEmbedded } from '../kit/embedded.ts';
import { until } from '../kit/until.ts';

// mkdtemp makes it with mode 0700: PostgreSQL must serve below a folder that only root may enter.
const parent = mkdtempSync(join(tmpdir(), 'orchestrator-embedded-'));
const dataDir = join(parent, 'data');
let stack: Embedded;

const start = (env: Record<string, string> = {}) => startedEmbedded({ dataDir, env });
const clientOf = ({ address, apiKey }: Embedded) => createClient({ baseUrl: address, apiKey });

before(async () => {
  stack = await start();
});
after(async () => {
  await stack.end('SIGINT');
  rmSync(parent, { recursive: true, force: true });
});

describe('npm start', () => {
  test('prints one line with address, key file and a curl that works', async () => {
    assert.match(
      stack.ready,
      /^Ready http:\/\/127\.0\.0\.1:\d+ .*key: \S+api-key .*npm run watch.*curl -sS http:\/\/127\.0\.0\.1:\d+\/ask /,
    );
    assert.equal(statSync(join(dataDir, 'api-key')).mode & 0o777, 0o600);
    const { id } = await clientOf(stack).ask({ prompt: 'hello' });
    assert.equal((await clientOf(stack).prompt(id, { wait: 10 })).status, 'completed');
    const health = await fetch(`${stack.address}/health`);
    assert.equal(health.status, 200);
    const page = await fetch(stack.address);
    assert.match(await page.text(), /<textarea id="prompt"/);
    assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'/);
  });

  test('on a folder in use says so in one sentence and exits 1', async () => {
    const second = await startEmbedded({ dataDir });
    assert.ok('exitCode' in second);
    assert.equal(second.exitCode, 1);
    assert.match(second.said, /The data folder \S+ is in use by process \d+: stop that one/);
    assert.equal(second.said.trim().split('\n').length, 1);
  });

  test('told to stop before it is ready does so, and leaves nothing running', async () => {
    const serversOf = (parent: number | undefined) =>
      spawnSync('ps', ['-A', '-o', 'pid=,ppid=,comm='], { encoding: 'utf8' })
        .stdout.split('\n')
        .map((line) => line.trim().split(/\s+/))
        .filter(([, ppid, name = '']) => Number(ppid) === parent && /postgres|redis|valkey/.test(name))
        .map(([pid]) => Number(pid));
    let servers: number[] = [];
    const ended = await startEmbedded({
      dataDir: join(parent, 'early'),
      onSpawn: (child) =>
        void until('both servers are there', () => {
          servers = serversOf(child.pid);
          return servers.length === 2;
        }).finally(() => child.kill('SIGINT')),
    });
    assert.ok('exitCode' in ended, 'it was not ready by then');
    assert.equal(ended.exitCode, 0, ended.said);
    assert.match(ended.said, /^Stopping: [^\n]*\n$/);
    assert.equal(servers.length, 2);
    for (const pid of servers) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  });

  test('on a taken port says which, and leaves nothing running', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    const { port } = holder.address() as AddressInfo;
    const other = join(parent, 'other');
    const refused = await startEmbedded({ dataDir: other, env: { PORT: String(port) } });
    holder.close();
    assert.ok('exitCode' in refused);
    assert.deepEqual([refused.exitCode, refused.said.includes(`Port ${port} on 127.0.0.1 is taken`)], [1, true]);
    const again = await startEmbedded({ dataDir: other });
    assert.ok('ready' in again, 'the folder is free again');
    await again.end('SIGTERM');
  });

  test('with a folder that cannot be written, or a wrong setting, says what to do', async () => {
    const file = join(parent, 'a-file');
    writeFileSync(file, '');
    const unwritable = await startEmbedded({ dataDir: join(file, 'data') });
    assert.ok('exitCode' in unwritable);
    assert.match(unwritable.said, /cannot be written \(\w+\): give it to this user, or set DATA_DIR/);
    const wrong = await startEmbedded({ dataDir, env: { PORT: 'eighty', MAX_ATTEMPTS: '0' } });
    assert.ok('exitCode' in wrong);
    assert.match(wrong.said, /PORT: "eighty" must be a whole number[\s\S]*MAX_ATTEMPTS: "0" must be/);
  });

  test('after Ctrl-C finds all data again, in under five seconds', async () => {
    const { id } = await clientOf(stack).ask({ prompt: 'keep me' });
    const before = await clientOf(stack).prompt(id, { wait: 10 });
    assert.equal(await stack.end('SIGINT'), 0);
    const startedAt = performance.now();
    stack = await start();
    assert.ok(performance.now() - startedAt < 5_000);
    assert.deepEqual(await clientOf(stack).prompt(id), before);
  });
});
