/** What the how-tos for clusters tell to do is done: values, commands, logins. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import pg from 'pg';
import { applyMigrations } from '../../platform/postgres/migrate.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { checkSchema } from '../../platform/postgres/schema-guard.ts';
import { cleanup } from '../kit/cleanup.ts';
import { dropDatabase } from '../kit/database.ts';
import { required } from '../kit/environment.ts';
import { databaseUri } from '../kit/servers.ts';
import { CHART, ROOT } from './chart-values.ts';
import { helm } from './helm.ts';
import { yaml } from './tools.ts';

const PAGES = ['run-on-a-cluster', 'upgrade', 'watch-with-grafana'];
const pages = PAGES.map((name) => readFileSync(join(ROOT, 'doc/how-to', `${name}.md`), 'utf8')).join('\n');
const blocks = (kind: string): string[] =>
  [...pages.matchAll(new RegExp(`^\`\`\`${kind}\n(.*?)^\`\`\`$`, 'gms'))].map((match) => match[1]!);
const commands = (tool: string): string[] =>
  [...pages.matchAll(new RegExp(`^ {4}(${tool} .+)$`, 'gm'))].map((match) => match[1]!);

const [first = '', ...further] = blocks('yaml values.yaml');
const rendered = (namespace = 'prompts') =>
  helm(['template', 'prompts', CHART, '--namespace', namespace, '--values', '-'], first);

describe('values', () => {
  test('of the first install are whole', () => {
    const { status, said } = rendered();
    assert.equal(status, 0, said);
    assert.match(said, /kind: Ingress/);
  });

  test('that are told later fit on top of them, all together', () => {
    assert.equal(further.length, 4);
    const parsed = [first, ...further].map((text) => yaml().parse(text) as Record<string, unknown>);
    const merged = parsed.reduce((all, one) => merge(all, one));
    const { status, said } = helm(['template', 'prompts', CHART, '--values', '-'], JSON.stringify(merged));
    assert.equal(status, 0, said);
    const parts = ['ScaledObject', 'PodMonitor', 'PrometheusRule'].map((kind) => `kind: ${kind}`);
    for (const part of [...parts, 'redis+sentinel://', 'NODE_EXTRA_CA_CERTS', 'POSTGRES_READ_URI', 'grafana_folder'])
      assert.ok(said.includes(part), part);
  });
});

describe('commands', () => {
  test('of Helm have options that Helm knows', () => {
    const said = commands('helm');
    assert.ok(said.length >= 2);
    for (const command of said) {
      const [, verb = ''] = command.split(' ');
      const help = helm([verb, '--help']).said;
      for (const [option] of command.matchAll(/--[a-z-]+/g))
        assert.ok(help.includes(`${option} `), `${verb} ${option}`);
      if (verb !== 'install') continue;
      const args = command
        .split(' ')
        .slice(1)
        .map((part) => (part === 'values.yaml' ? '-' : part));
      const { status, said: told } = helm([...args, '--dry-run=client'], first);
      assert.equal(status, 0, told);
    }
  });

  test('of an upgrade replace readers before writers, and on the way back writers before readers', () => {
    const upgrades = commands('helm upgrade').map((command) => {
      const sets = [...command.matchAll(/--set '([^']+)'/g)].flatMap(([, value = '']) => ['--set', value]);
      const { status, said } = helm(['template', 'prompts', CHART, '--values', '-', ...sets], first);
      assert.equal(status, 0, said);
      const isHeld = (text: string) => /^ {2}paused: true$|^ {6}partition: [1-9]/m.test(text);
      const workloads = said.split(/^---$/m).filter((text) => /^kind: (Deployment|StatefulSet)$/m.test(text));
      const nameOf = (text: string) => /^ {2}name: prompts-prompt-orchestrator-(\S+)$/m.exec(text)?.[1];
      return workloads.filter(isHeld).map(nameOf).sort();
    });
    assert.deepEqual(upgrades, [['command-api', 'worker'], [], ['projector', 'query-api'], []]);
  });

  test('of kubectl name what the chart makes', () => {
    const { said } = rendered();
    const kinds: Record<string, string> = { deploy: 'Deployment', job: 'Job' };
    const named = commands('kubectl').flatMap((command) => [...command.matchAll(/\b(deploy|job)\/(\S+)/g)]);
    assert.ok(named.length >= 3);
    for (const [whole, kind = '', name = ''] of named)
      assert.match(said, new RegExp(`kind: ${kinds[kind]}\nmetadata:\n  name: ${name}\n`), whole);
  });
});

describe('the logins', () => {
  const t = cleanup(after);
  test('that are told migrate, and serve without a right to change the log', async () => {
    const server = required('TEST_POSTGRES_URI');
    const uriOf = (user: string): string => {
      const url = new URL(databaseUri(server, 'prompts'));
      [url.username, url.password] = [user, '…'];
      return url.href;
    };
    const statements = blocks('sql')
      .find((text) => text.includes('CREATE DATABASE'))!
      .trim()
      .split('\n');
    const admin = new pg.Client({ connectionString: server });
    await admin.connect();
    t.after(async () => {
      const leaked = await dropDatabase(server, 'prompts');
      await admin.query('DROP ROLE IF EXISTS prompts_owner, prompts');
      await admin.end();
      assert.deepEqual(leaked, []);
    });
    // The test server has it from its template.
    assert.equal(statements.shift(), 'CREATE ROLE prompt_app NOLOGIN;');
    for (const statement of statements) await admin.query(statement);

    const applied = await applyMigrations(uriOf('prompts_owner'), 'migrations');
    assert.ok(applied.length > 10);
    const pool = createPool({ uri: uriOf('prompts'), name: 'how-to', max: 1, onError: (error) => assert.fail(error) });
    t.after(() => pool.end());
    await checkSchema(pool);
    assert.equal((await pool.query('SELECT current_user AS role')).rows[0].role, 'prompt_app');
    await assert.rejects(pool.query('DELETE FROM event'), { code: '42501' });
    await assert.rejects(pool.query('CREATE TABLE t ()'), { code: '42501' });
    await assert.rejects(pool.query('ALTER TABLE event ADD COLUMN c int'), { code: '42501' });
  });
});

function merge(all: Record<string, unknown>, one: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...all };
  for (const [name, value] of Object.entries(one)) {
    const former = merged[name];
    merged[name] = isMap(former) && isMap(value) ? merge(former, value) : value;
  }
  return merged;
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
