/** The worked examples of doc/how-to, done as they say: on a copy of the project, which must then pass its checks. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SCHEMA_VERSION } from '../contracts/schema-version.ts';
import { apply, blocksOf, pageOf, patch } from './kit/worked-examples.ts';

const ROOT = join(import.meta.dirname, '..');
/** In this order: the projection folds the event. */
const PAGES = ['add-an-event', 'add-a-field-to-an-event', 'add-a-projection'];
const NEXT = SCHEMA_VERSION + 1;

const blocks = PAGES.flatMap(blocksOf).map((block) => ({ ...block, file: block.file.replace('/N_', `/${NEXT}_`) }));
/** The files of `npm test -- …` lines. */
const tests = [
  ...new Set(
    PAGES.flatMap((page) => [...pageOf(page).matchAll(/^ {4}npm test -- (.+)$/gm)]).flatMap((match) =>
      match[1]!.split(' '),
    ),
  ),
];

let copy: string;
before(() => {
  copy = mkdtempSync(join(tmpdir(), 'orchestrator-how-to-'));
  const git = (...args: string[]) => execFileSync('git', args, { cwd: copy, encoding: 'utf8' });
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  for (const file of files.split('\n')) {
    if (file !== '' && existsSync(join(ROOT, file))) cpSync(join(ROOT, file), join(copy, file));
  }
  for (const folder of ['node_modules', '.cache']) {
    if (existsSync(join(ROOT, folder))) symlinkSync(join(ROOT, folder), join(copy, folder));
  }
  git('init', '--quiet');
});
after(() => rmSync(copy, { recursive: true, force: true }));

function run(...args: string[]): Promise<{ code: number | null; said: string }> {
  // Told that it runs inside a test, node:test would skip every file.
  const { NODE_TEST_CONTEXT: _, NODE_COMPILE_CACHE: __, ...env } = process.env;
  const child = spawn(process.execPath, args, { cwd: copy, stdio: ['ignore', 'pipe', 'pipe'], env });
  let said = '';
  for (const output of [child.stdout, child.stderr]) {
    output.on('data', (piece) => {
      said += piece;
    });
  }
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, said })));
}

describe('the worked examples of how-to', () => {
  test('can be done as they are written', () => {
    assert.deepEqual([...new Set(blocks.map(({ page }) => page))], PAGES);
    for (const block of blocks) apply(copy, block);
    const number = join(copy, 'contracts/schema-version.ts');
    const raised = patch(number, readFileSync(number, 'utf8'), NUMBER);
    writeFileSync(number, raised);
  });
  const NUMBER = `-export const SCHEMA_VERSION = ${SCHEMA_VERSION};\n+export const SCHEMA_VERSION = ${NEXT};\n`;

  test('give code in the style of the house, with types that fit', async () => {
    const bin = (name: string) => join(ROOT, 'node_modules', name);
    const changed = blocks.map(({ file }) => file).filter((file) => !file.endsWith('.sql'));
    const lint = await run(bin('@biomejs/biome/bin/biome'), 'ci', '--colors=off', ...new Set(changed));
    assert.equal(lint.code, 0, lint.said);
    const types = await run(bin('typescript/bin/tsc'), '-p', '.');
    assert.equal(types.code, 0, types.said);
  });

  test('pass the checks that they name', async () => {
    assert.ok(tests.length >= 4);
    execFileSync('git', ['add', '--all'], { cwd: copy });
    const { code, said } = await run('testing/run-tests.ts', ...tests);
    assert.equal(code, 0, said);
    // A run that found nothing to do would pass as well.
    for (const one of [
      'the last rating of a prompt counts, whatever the size of a batch',
      'PromptCancelled v1 is read as the present shape, no field more or less',
      'PromptRated v1 is read as the present shape, no field more or less',
      'is read to the same answers',
    ]) {
      assert.ok(said.includes(`✔ ${one}`), said);
    }
  });
});
