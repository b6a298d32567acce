/** What doc/how-to tells of one machine is done: settings, the service of systemd, a backup that is put back. */
import assert from 'node:assert/strict';
import { execSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { parseEnv } from 'node:util';
import { type Client, createClient } from '../client/client.ts';
import { loadConfig } from '../platform/config/load.ts';
import { variables } from '../platform/config/variables.ts';
import { cleanup } from './kit/cleanup.ts';
import { type Embedded, startedEmbedded } from './kit/embedded.ts';
import { run } from './kit/process.ts';
import { until } from './kit/until.ts';
import { pageOf } from './kit/worked-examples.ts';

const t = cleanup(after);
const work = mkdtempSync(join(tmpdir(), 'orchestrator-one-machine-'));
t.after(async () => rmSync(work, { recursive: true, force: true }));

describe('the page of one machine', () => {
  const page = pageOf('run-on-one-machine');
  const block = (name: string) => new RegExp(`^\`\`\`\\w+ ${name}\n(.*?)^\`\`\`$`, 'ms').exec(page)?.[1] ?? '';
  const unit = Object.fromEntries(
    [...block('prompts.service').matchAll(/^(\w+)=(.+)$/gm)].map((match) => match.slice(1)),
  );

  test('sets what there is to be set, to what it may be', () => {
    const given = parseEnv(block('.env'));
    assert.ok(Object.keys(given).length >= 4);
    for (const name of Object.keys(given)) assert.ok(name in variables, name);
    assert.equal(loadConfig('embedded', given as Record<string, string>).DATA_DIR, given['DATA_DIR']);
  });

  test('gives systemd a command that starts it as npm does, and is stopped by one signal to it, in the time it has', async () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
    assert.equal(unit['ExecStart'], `/usr/bin/${scripts['start']}`);
    assert.equal(unit['KillMode'], 'mixed');
    const dataDir = join(work, 'service');
    const [, ...args] = unit['ExecStart']!.split(' ');
    const service = run(t, args, { DATA_DIR: dataDir, PORT: '0' });
    await until('it is ready', () => /^Ready /m.test(service.said()), 60_000);
    assert.ok(existsSync(join(dataDir, 'postgres.json')) && existsSync(join(dataDir, 'services.log')));
    assert.equal(await service.end('SIGTERM'), 0, service.said());
    for (const server of ['postgres', 'redis'])
      assert.ok(!existsSync(join(dataDir, `${server}.json`)), `${server} was stopped`);
    // Running calls, then the servers.
    const slowest = loadConfig('embedded', {}).SHUTDOWN_GRACE_SECONDS + 15;
    assert.ok(Number(unit['TimeoutStopSec']) > slowest);
  });
});

describe('a backup by npm start', () => {
  const [make = [], putBack = []] = [...pageOf('put-back-a-backup').matchAll(/\n\n((?: {4}(?:cp|mv) .+\n)+)/g)].map(
    (match) => match[1]!.trim().split(/\n */),
  );
  const start = async (): Promise<Embedded & { client: Client }> => {
    const started = await startedEmbedded({ dataDir: join(work, '.data') });
    t.after(async () => void (started.child.exitCode === null && (await started.end('SIGINT'))));
    return { ...started, client: createClient({ baseUrl: started.address, apiKey: started.apiKey }) };
  };
  const type = (commands: string[]) => {
    for (const command of commands) execSync(command, { cwd: work });
  };
  const answered = async (client: Client, prompt: string) => {
    const { id } = await client.ask({ prompt });
    return client.prompt(id, { wait: 20 });
  };

  test('that is put back has all until it was made, and nothing since', async () => {
    assert.deepEqual([make.length, putBack.length], [1, 2]);
    const first = await start();
    const kept = await answered(first.client, 'kept');
    assert.equal(kept.status, 'completed');
    assert.equal(await first.end('SIGINT'), 0);
    assert.ok(!existsSync(join(work, '.data/postgres-home')), 'the database is in the data folder');
    type(make);

    const second = await start();
    const lost = await answered(second.client, 'lost');
    assert.equal(lost.status, 'completed');
    assert.equal(await second.end('SIGINT'), 0);
    type(putBack);

    const third = await start();
    assert.equal(third.apiKey, first.apiKey);
    assert.deepEqual(await third.client.prompt(kept.id), kept);
    await assert.rejects(third.client.prompt(lost.id), { status: 404 });
    const next = await answered(third.client, 'next');
    assert.deepEqual([next.status, next.position > kept.position], ['completed', true]);
    assert.equal(await third.end('SIGINT'), 0);
  });
});
