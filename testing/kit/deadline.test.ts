import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { inherited } from './environment.ts';

const deadline = join(import.meta.dirname, 'deadline.ts');

function run(script: string, seconds: number) {
  const args = ['--import', 'tsx', '--import', deadline, '--input-type=module', '--eval', script];
  return spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...inherited(), TEST_PROCESS_SECONDS: `${seconds}` },
    timeout: 60_000,
  });
}

test('a process of the suite that something holds is ended at its time, and what held it is named', () => {
  const { status, stderr } = run(`(await import('node:net')).createServer().listen(0)`, 0.3);
  assert.equal(status, 1);
  assert.match(stderr, /not ended after 0\.3 seconds, held by .*1 TCPServerWrap/);
});

test('one that nothing holds ends by itself', () => {
  const { status, stderr } = run('0', 60);
  assert.deepEqual([status, stderr], [0, '']);
});
