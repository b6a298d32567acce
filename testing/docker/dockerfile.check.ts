/** The Dockerfile without an engine: syntax, known faults, its bases. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readText } from './compose-file.ts';
import { lint } from './tools.ts';

const FILE = 'deployment/docker/Dockerfile';
const LINTERS = [['dockerfilelint/bin/dockerfilelint'], ['dockerfile-utils/bin/dockerfile-utils', 'lint']] as const;
const text = readText(FILE);

const work = mkdtempSync(join(tmpdir(), 'orchestrator-dockerfile-'));
after(() => rmSync(work, { recursive: true, force: true }));

const lintAll = (file: string) => LINTERS.map(([command, ...args]) => lint(command, ...args, file));

describe('the Dockerfile', () => {
  test('has no fault that the linters know', () => {
    for (const { status, said } of lintAll(FILE)) assert.equal(status, 0, said);
  });

  test('would not pass with an instruction that nobody knows', () => {
    const broken = join(work, 'Dockerfile');
    writeFileSync(broken, text.replace('EXPOSE', 'EXPOSES'));
    for (const { status, said } of lintAll(broken)) assert.notEqual(status, 0, said);
  });

  test('builds and runs on the Node that the project pins', () => {
    const { devDependencies } = JSON.parse(readText('package.json')) as { devDependencies: Record<string, string> };
    const bases = [...text.matchAll(/^FROM ([^\s@]+)/gm)].map((match) => match[1]);
    const base = `node:${devDependencies['node']}-bookworm-slim`;
    assert.deepEqual(bases, [base, base]);
  });

  test('gives up root before it runs anything', () => {
    const [, last = ''] = text.split(/^FROM .*$/m).slice(-2);
    const instructions = [...last.matchAll(/^[A-Z]+/gm)].map((match) => match[0]);
    assert.ok(instructions.indexOf('USER') < instructions.indexOf('CMD'));
    assert.match(last, /^USER node$/m);
  });
});
