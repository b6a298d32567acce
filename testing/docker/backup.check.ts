/** What doc/how-to tells of a backup on Compose, as far as it goes without an engine: names, options, what the shell does. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { freePort } from '../../deployment/local/servers/free-port.ts';
import { findBaseBackup } from '../bench/tools.ts';
import { pageOf } from '../kit/worked-examples.ts';
import { COMPOSE_FILE, readCompose } from './compose-file.ts';

const work = mkdtempSync(join(tmpdir(), 'orchestrator-backup-'));
after(() => rmSync(work, { recursive: true, force: true }));

const commands = [...pageOf('put-back-a-backup').matchAll(/^ {4}docker compose -f (\S+) (.+)$/gm)].map(
  ([, file = '', rest = '']) => ({ file, rest }),
);
/** Of the line that has it: the service, and what its shell is given. */
const shellOf = (text: string): { service: string; script: string } => {
  const line = commands.find(({ rest }) => rest.includes(text))?.rest ?? '';
  const [, service = '', script = ''] = / (\w+)(?: sh)? -c '(.+)' [<>] backup\.tar\.gz$/.exec(line) ?? [];
  return { service, script };
};

describe('a backup on Compose', () => {
  test('names the compose file, and the service that has the database', () => {
    assert.equal(commands.length, 4);
    for (const { file } of commands) assert.equal(file, COMPOSE_FILE);
    for (const part of ['pg_basebackup', 'tar -xzf'])
      assert.match(readCompose().services[shellOf(part).service]?.image ?? '', /^postgres:/, part);
  });

  test('is made with options that pg_basebackup takes together', async () => {
    const { script } = shellOf('pg_basebackup');
    const [program, ...leading] = findBaseBackup();
    const made = script.replace('pg_basebackup', [program, ...leading].join(' '));
    const env = {
      PATH: process.env['PATH'],
      POSTGRES_USER: 'postgres',
      PGHOST: '127.0.0.1',
      PGPORT: String(await freePort()),
    };
    const run = (text: string) => spawnSync('sh', ['-c', text], { encoding: 'utf8', env });
    // Nobody listens there: it gets that far only with options that it understands.
    assert.match(run(made).stderr, /connection to server at "127\.0\.0\.1".* failed/);
    assert.match(
      run(made.replace('-X fetch', '-X stream')).stderr,
      /cannot stream write-ahead logs in tar mode to stdout/,
    );
  });

  test('takes the place of what was there, with all that it has, for its server alone', () => {
    const [backup, data, bin] = ['backup', 'data', 'bin'].map((name) => join(work, name)) as [string, string, string];
    for (const folder of [backup, data, bin]) mkdirSync(folder);
    mkdirSync(join(backup, 'base'));
    for (const file of ['backup_label', 'PG_VERSION', 'base/1']) writeFileSync(join(backup, file), 'older');
    for (const file of ['PG_VERSION', 'postmaster.pid', '.hidden']) writeFileSync(join(data, file), 'newer');
    // In place of the one that would need the image's user.
    writeFileSync(join(bin, 'chown'), '#!/bin/sh\necho "$@" > "$CHOWN_SAID"\n');
    chmodSync(join(bin, 'chown'), 0o755);
    const said = join(work, 'chown-said');
    execFileSync('sh', ['-c', shellOf('tar -xzf').script], {
      input: execFileSync('tar', ['-czf', '-', '-C', backup, ...readdirSync(backup)]),
      env: { PATH: `${bin}:${process.env['PATH']}`, PGDATA: data, CHOWN_SAID: said },
    });
    assert.deepEqual(readdirSync(data, { recursive: true }).sort(), ['PG_VERSION', 'backup_label', 'base', 'base/1']);
    assert.equal(readFileSync(said, 'utf8'), `postgres ${data}\n`);
    assert.equal(readFileSync(join(data, 'PG_VERSION'), 'utf8'), 'older');
    assert.equal(statSync(data).mode & 0o777, 0o700);
  });
});
