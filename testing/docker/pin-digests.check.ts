import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';

const SCRIPT = join(import.meta.dirname, '../../deployment/docker/pin-digests.ts');
const DOCKERFILE = 'FROM node:24.21.0-bookworm-slim AS base\nFROM base AS build\nFROM base\n';
const COMPOSE = `services:
  worker:
    image: prompt-orchestrator:0.1.0
  redis:
    image: redis:8.8.2-trixie
  tempo:
    image: grafana/tempo:3.0.3@sha256:${'0'.repeat(64)} # kept
`;
const FOUND = {
  'node:24.21.0-bookworm-slim': `sha256:${'a'.repeat(64)}`,
  'redis:8.8.2-trixie': `sha256:${'b'.repeat(64)}`,
  'grafana/tempo:3.0.3': `sha256:${'c'.repeat(64)}`,
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'orchestrator-pin-'));
  writeFileSync(join(folder, 'Dockerfile'), DOCKERFILE);
  writeFileSync(join(folder, 'docker-compose.yml'), COMPOSE);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs it with a `docker` that knows only these digests. */
function pin(known: Record<string, string>): {
  status: number | null;
  said: string;
  dockerfile: string;
  compose: string;
} {
  const cases = Object.entries(known).map(([image, digest]) => `    ${image}) echo '${digest}' ;;`);
  const docker = `#!/bin/sh
[ "$1 $2 $3" = 'buildx imagetools inspect' ] || exit 2
case "$4" in
${cases.join('\n')}
    *) echo "not found: $4" >&2; exit 1 ;;
esac
`;
  writeFileSync(join(folder, 'docker'), docker, { mode: 0o755 });
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, folder], {
    encoding: 'utf8',
    env: { PATH: `${folder}:${process.env['PATH']}` },
  });
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  return { status, said: stdout + stderr, dockerfile: read('Dockerfile'), compose: read('docker-compose.yml') };
}

describe('pin-digests', () => {
  test('writes the digest that was fetched behind each tag, and changes nothing else', () => {
    const { status, dockerfile, compose } = pin(FOUND);
    assert.equal(status, 0);
    const node = 'node:24.21.0-bookworm-slim';
    assert.equal(dockerfile, DOCKERFILE.replace(node, `${node}@${FOUND[node]}`));
    const redis = 'redis:8.8.2-trixie';
    const expected = COMPOSE.replace(redis, `${redis}@${FOUND[redis]}`).replace('0'.repeat(64), 'c'.repeat(64));
    assert.equal(compose, expected);
  });

  test('writes nothing when one of them was not found', () => {
    const { 'grafana/tempo:3.0.3': _, ...known } = FOUND;
    const { status, said, dockerfile, compose } = pin(known);
    assert.equal(status, 1);
    assert.match(said, /grafana\/tempo:3\.0\.3: no digest: not found/);
    assert.deepEqual([dockerfile, compose], [DOCKERFILE, COMPOSE]);
  });

  test('takes no answer for a digest that is none', () => {
    const { status, said, compose } = pin({ ...FOUND, 'redis:8.8.2-trixie': 'latest' });
    assert.equal(status, 1);
    assert.match(said, /redis:8\.8\.2-trixie: no digest: docker said "latest"/);
    assert.equal(compose, COMPOSE);
  });
});
