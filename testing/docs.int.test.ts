/** Docs that state what the code states are made from it. `npm run docs` writes them; here they must be as written. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { promptErrors } from '../contracts/errors.ts';
import { dashboardFiles } from '../deployment/grafana/dashboards.ts';
import { readFigures } from './bench/sizing/figures.ts';
import { PAGE, withPart } from './bench/sizing/page.ts';
import { faultGroups } from './fault-groups.ts';
import { failPointsInCode, isOfTool } from './faults/cases/fail-points.ts';
import { allCases } from './faults/matrix.ts';
import { CHART, copiedFiles } from './helm/chart-values.ts';
import { cleanup } from './kit/cleanup.ts';
import { startTestStack } from './kit/stack.ts';
import { referencePages } from './reference-docs.ts';
import { rules } from './rules.ts';

const ROOT = join(import.meta.dirname, '..');
const t = cleanup(after);

function check(file: string, text: string): void {
  const path = join(ROOT, file);
  if (process.env['UPDATE_DOCS'] === '1') {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  assert.equal(
    existsSync(path) ? readFileSync(path, 'utf8') : '',
    text,
    `${file} is not as the code says: run "npm run docs"`,
  );
}

test('the reference pages are as the code says', () => {
  for (const [file, text] of Object.entries(referencePages())) check(file, text);
});

test('the figures of size-it are as the benchmark left them', () => {
  check(PAGE, withPart(readFileSync(join(ROOT, PAGE), 'utf8'), readFigures()));
});

test('the dashboards are as the code says', () => {
  const files = dashboardFiles();
  for (const [file, text] of Object.entries(files)) check(file, text);
  const there = readdirSync(join(ROOT, 'deployment/grafana/dashboards'));
  assert.deepEqual(there.map((file) => `deployment/grafana/dashboards/${file}`).sort(), Object.keys(files).sort());
});

test('what the chart has copies of is as where it comes from', () => {
  const files = copiedFiles();
  for (const [file, text] of Object.entries(files)) check(join(CHART, file), text);
  const there = globSync('files/{rules,dashboards}/*', { cwd: join(ROOT, CHART) });
  assert.deepEqual(
    there.filter((file) => !(file in files)),
    [],
  );
});

test('every rule names tests that there are', () => {
  const listed = Object.values(rules).flat();
  const missing = listed.flatMap(({ id, tests }) =>
    tests
      .filter(([file, name]) => !readFileSync(join(ROOT, file), 'utf8').includes(name))
      .map(([file, name]) => `rule ${id}: ${file} has no "${name}"`),
  );
  assert.deepEqual(missing, []);
  assert.deepEqual(
    listed.filter(({ tests }) => tests.length === 0),
    [],
  );
});

test('every fault of the groups is made somewhere, or says why not', () => {
  const names = allCases().map(({ name }) => name);
  const faults = Object.values(faultGroups).flat();
  const wrong = faults.flatMap(({ id, matrix = [], tests = [], why }) => [
    ...matrix
      .filter((start) => !names.some((name) => name.startsWith(start)))
      .map((start) => `${id}: no case ${start}`),
    ...tests
      .filter(([file, name]) => !readFileSync(join(ROOT, file), 'utf8').includes(name))
      .map(([file, name]) => `${id}: ${file} has no "${name}"`),
    ...(matrix.length + tests.length === 0 && !why ? [`${id}: nowhere`] : []),
  ]);
  assert.deepEqual(wrong, []);
  assert.ok(faults.length >= 80);
});

test('every fail point is in the matrix, with every action', () => {
  const cases = allCases();
  const points = failPointsInCode();
  assert.ok(points.length > 15);
  const missing = points
    .filter((point) => !isOfTool(point))
    .filter((point) => cases.filter((one) => one.points?.includes(point)).length < 3);
  assert.deepEqual(missing, []);
  // Those of tools are reached by tests that arm them by name.
  const armed = globSync('{cli,projector,testing}/**/*.int.test.ts', { cwd: ROOT })
    .map((file) => readFileSync(join(ROOT, file), 'utf8'))
    .filter((text) => text.includes('armFailPoints('))
    .join('\n');
  const untested = points.filter((point) => isOfTool(point) && !armed.includes(`'${point}'`));
  assert.deepEqual(untested, []);
  const names = cases.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length, 'each case has a name of its own');
});

test('the table of fault cases lists the cases that there are', () => {
  const page = readFileSync(join(ROOT, 'doc/explanation/fault-cases.md'), 'utf8');
  const listed = [...page.matchAll(/^\| (.+?) \| passed/gm)].map((match) => match[1]);
  assert.deepEqual(
    listed,
    allCases().map(({ name }) => name),
    'run "npm run faults -- matrix --write"',
  );
});

test('the OpenAPI document is as the running system serves it', async () => {
  const stack = await startTestStack(t);
  const document = (await (await fetch(`${stack.address}/openapi.json`)).json()) as {
    openapi: string;
    paths: Record<string, unknown>;
  };
  assert.equal(document.openapi, '3.1.0');
  for (const path of ['/ask', '/prompts/{id}', '/prompts', '/stats/users', '/live/events'])
    assert.ok(document.paths[path], path);
  check('doc/reference/openapi.json', `${JSON.stringify(document, null, 2)}\n`);
});

const markdown = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '--', '*.md'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter(Boolean);

test('every npm command that a page names exists', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const builtIn = new Set(['ci', 'install']);
  const unknown = markdown.flatMap((file) =>
    [...readFileSync(join(ROOT, file), 'utf8').matchAll(/(?:`|\n {4}(?:\$ )?)npm (?:run )?([a-z][\w:-]*)/g)]
      .map((match) => match[1]!)
      .filter(
        (name) => !builtIn.has(name) && !(name in scripts) && !['registry', 'package', 'packages', 'is'].includes(name),
      )
      .map((name) => `${file}: npm run ${name}`),
  );
  assert.deepEqual(unknown, []);
});

test('every relative link of a page leads somewhere', () => {
  const dead = markdown.flatMap((file) =>
    [...readFileSync(join(ROOT, file), 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
      .map((match) => match[1]!)
      .filter((target) => !existsSync(join(ROOT, dirname(file), target)))
      .map((target) => `${file} → ${target}`),
  );
  assert.deepEqual(dead, []);
});

test('every code that an attempt can end with is in the catalogue', () => {
  const sources = execFileSync('git', ['ls-files', '--', 'worker', 'contracts/prompt', 'command-api/relay'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
    .split('\n')
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.endsWith('spec.ts'));
  const used = sources.flatMap((file) => {
    const text = readFileSync(join(ROOT, file), 'utf8');
    return [...text.matchAll(/(?:\bcode: |failed\(|retry\(|code = )'([a-z_0-9]+)'/g)].map((match) => match[1]!);
  });
  assert.ok(used.length > 10);
  assert.deepEqual(
    [...new Set(used)].filter(
      (code) =>
        !(code in promptErrors) && !['unknown_event', 'cannot_start', 'spool_damaged', 'spool_foreign'].includes(code),
    ),
    [],
  );
});
