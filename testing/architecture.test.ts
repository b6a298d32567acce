/** The house rules of CONTRIBUTING.md that a machine can hold: who may import whom, no cycles, small files, one door to the environment. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '..');

/** Folder → folders it may import from; itself always. */
const ALLOWED: Record<string, string[]> = {
  contracts: [],
  platform: ['contracts'],
  'command-api': ['platform', 'contracts'],
  'query-api': ['platform', 'contracts'],
  worker: ['platform', 'contracts'],
  projector: ['platform', 'contracts'],
  client: ['contracts'],
  console: ['client', 'contracts'],
  'deployment/docker': [],
  'deployment/local': ['command-api', 'query-api', 'worker', 'projector', 'platform', 'contracts', 'testing/emulator'],
  'deployment/grafana': [],
  cli: ['platform', 'contracts', 'projector', 'client'],
  testing: [
    'command-api',
    'query-api',
    'worker',
    'projector',
    'platform',
    'contracts',
    'client',
    'cli',
    'console',
    'deployment/local',
    'deployment/grafana',
  ],
};
/** Where a folder may use only part of another. */
const ONLY_APP = ['command-api', 'query-api', 'worker', 'projector'];

const files = execFileSync(
  'git',
  ['ls-files', '--cached', '--others', '--exclude-standard', '--', '*.ts', '*.mjs', '*.sql', '*.lua'],
  {
    cwd: ROOT,
    encoding: 'utf8',
  },
)
  .split('\n')
  .filter((file) => file !== '' && !/^testing\/(bench\/peers|telemetry\/tools)\//.test(file));
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const folderOf = (file: string): string => Object.keys(ALLOWED).find((folder) => file.startsWith(`${folder}/`)) ?? '';
const isTest = (file: string) => /\.test\.ts$/.test(file);

const IMPORT = /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s*['"](\.[^'"]+)['"]|import\(\s*['"](\.[^'"]+)['"]\s*\)/g;
function importsOf(file: string): string[] {
  return [...read(file).matchAll(IMPORT)].map((match) => normalize(join(dirname(file), match[1] ?? match[2] ?? '')));
}
const sources = files.filter((file) => file.endsWith('.ts'));
const graph = new Map(sources.map((file) => [file, importsOf(file)]));

test('there is something to look at', () => {
  assert.ok(sources.length > 50);
  assert.ok([...graph.values()].flat().length > 100);
});

test('folders import only what they may', () => {
  const faults: string[] = [];
  for (const [file, imports] of graph) {
    const from = folderOf(file);
    for (const target of imports) {
      const to = folderOf(target);
      // Tests beside the code may use the test kit and the emulator, whatever folder they are in.
      if (to === from || from === '' || (isTest(file) && to === 'testing')) continue;
      const allowed = (ALLOWED[from] ?? []).some((folder) => target.startsWith(`${folder}/`));
      if (!allowed) faults.push(`${file} imports ${target}`);
      if (
        from === 'deployment/local' &&
        ONLY_APP.includes(to) &&
        !target.endsWith('/app.ts') &&
        !target.includes('/providers/')
      ) {
        faults.push(`${file} imports ${target}: only ${to}/app.ts`);
      }
    }
  }
  assert.deepEqual(faults, []);
});

test('contracts use nothing but TypeBox', () => {
  const packages = sources
    .filter((file) => file.startsWith('contracts/') && !isTest(file))
    .flatMap((file) => [...read(file).matchAll(/from '([^.'][^']*)'/g)].map((match) => match[1]));
  assert.deepEqual([...new Set(packages)], ['@sinclair/typebox']);
});

test('imports form no cycle', () => {
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const visit = (file: string, path: string[]) => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      cycles.push([...path.slice(path.indexOf(file)), file].join(' → '));
      return;
    }
    state.set(file, 'open');
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    state.set(file, 'done');
  };
  for (const file of graph.keys()) visit(file, []);
  assert.deepEqual(cycles, []);
});

test('no file is over 400 lines, and half of them are under 100', () => {
  const lengths = files.map((file) => ({ file, lines: read(file).split('\n').length }));
  assert.deepEqual(
    lengths.filter(({ lines }) => lines > 400),
    [],
  );
  const code = lengths
    .filter(({ file }) => file.endsWith('.ts') && !isTest(file))
    .map(({ lines }) => lines)
    .sort((a, b) => a - b);
  assert.ok((code[Math.floor(code.length / 2)] ?? 0) < 100, `median ${code[Math.floor(code.length / 2)]}`);
});

test('the environment is read in platform/config alone', () => {
  const readers = sources.filter(
    (file) => !file.startsWith('platform/config') && !isTest(file) && /process\.env\b/.test(read(file)),
  );
  // The test kit and the runners hand the environment on to child processes.
  assert.deepEqual(
    readers.filter((file) => !file.startsWith('testing/')),
    [],
  );
});

test('every SQL and Lua file says what goes in and what comes out', () => {
  const bare = files.filter((file) => /\.(sql|lua)$/.test(file) && !/^--/.test(read(file)));
  assert.deepEqual(bare, []);
});

test('names that say nothing are not used', () => {
  assert.deepEqual(
    files.filter((file) => /(^|\/)(common|utils?|helpers?|shared|types|misc)(\/|\.ts$)/.test(file)),
    [],
  );
});

test('every connection of the product is made where its time-outs are set', () => {
  const product = sources.filter((file) => !file.startsWith('testing/') && !isTest(file));
  const made = product.flatMap((file) =>
    [...read(file).matchAll(/\bnew (?:pg\.)?((?:Reporting)?Client|Pool|Redis|Cluster)\(/g)].map(
      (match) => `${match[1]} in ${file}`,
    ),
  );
  assert.deepEqual([...new Set(made)].sort(), [
    'Cluster in platform/redis/connection.ts',
    'Pool in platform/postgres/pool.ts',
    'Redis in platform/redis/connection.ts',
    'ReportingClient in platform/postgres/client.ts',
  ]);
  // By another name the pattern above would not see it.
  const renamed = product.filter((file) =>
    /import\s*(\{[^}]*\bas\b[^}]*\}|\* as \w+)\s*from '(pg|ioredis)'/.test(read(file)),
  );
  assert.deepEqual(renamed, []);
  for (const [file, settings] of Object.entries({
    'platform/postgres/client.ts': ['connectionTimeoutMillis', 'query_timeout', 'statement_timeout', 'keepAlive'],
    'platform/postgres/pool.ts': ['connectionTimeoutMillis', 'query_timeout', 'statement_timeout', 'keepAlive'],
    'platform/redis/connection.ts': ['connectTimeout', 'commandTimeout', 'socketTimeout', 'enableOfflineQueue: false'],
  })) {
    for (const setting of settings) assert.ok(read(file).includes(setting), `${file} sets no ${setting}`);
  }
});
