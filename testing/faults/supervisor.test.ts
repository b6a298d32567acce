/** What counts as an end that nobody asked for: a service that falls when it is told to stop, too. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { until } from '../kit/until.ts';
import { createImpairments } from './impairments.ts';
import { createSupervisor, type Supervisor } from './supervisor.ts';

/** A folder with a service that ends with `code` when it is told to stop. */
function projectEndingWith(code: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'supervisor-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const service = `process.on('SIGTERM', () => process.exit(${code}));
setInterval(() => {}, 1_000);
console.log('is ready');`;
  const files = { 'platform/telemetry/preload.ts': '', 'testing/faults/arm.ts': '', 'service/main.ts': service };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}
const root = projectEndingWith('Number(process.env.CODE)');

let supervisor: Supervisor;
beforeEach(() => {
  supervisor = createSupervisor(root, root, createImpairments());
});
afterEach(() => supervisor.stop());

async function started(code: number) {
  const instance = supervisor.start('one', 'service', { CODE: String(code) });
  await instance.ready();
  return instance;
}
const wrong = () => supervisor.unexpectedExits.map(({ service: name, code, signal }) => [name, code, signal]);

describe('an end that was asked for', () => {
  test('with 0 is as it should be, by a restart and when all are stopped', async () => {
    const one = await started(0);
    assert.equal(await one.restart(), 0);
    await until('it is up again', () => one.starts === 2 && one.isUp);
    assert.deepEqual([await supervisor.stop(), wrong()], [{ one: 0 }, []]);
  });

  test('with another code is wrong, by a restart and when all are stopped', async () => {
    const one = await started(3);
    assert.equal(await one.restart(), 3);
    assert.deepEqual(wrong(), [['one', 3, null]]);
    await until('it is up again', () => one.starts === 2 && one.isUp);
    await supervisor.stop();
    assert.equal(wrong().length, 2);
  });

  test('is followed by a start from the folder that was named, and from there again', async () => {
    const one = await started(0);
    const codes = [await one.restart({ folder: projectEndingWith('7') })];
    for (const starts of [2, 3]) {
      await until('it is up again', () => one.starts === starts && one.isUp);
      codes.push(await one.restart());
    }
    assert.deepEqual(codes, [0, 7, 7]);
  });

  test('by SIGKILL is as it should be', async () => {
    const one = await started(3);
    one.signal('SIGKILL');
    await until('it has ended', () => !one.isUp);
    assert.deepEqual(wrong(), []);
  });
});
