import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');
const SCRIPT = join(ROOT, 'deployment/docker/pin-digests.ts');
const DOCKERFILE = 'FROM node:24.21.0-bookworm-slim AS base\nFROM base AS build\nFROM base\n';
const COMPOSE = `services:
  worker:
    image: prompt-orchestrator:0.1.0
  redis:
    image: redis:8.8.2-trixie
  tempo:
    image: grafana/tempo:3.0.3@sha256:${'0'.repeat(64)} # kept
`;
/** As the chart has it: an image of ours, which is named where it is installed, and one that is fetched. */
const chartValues = (digest: string) => `image:
  repository: ''
  tag: ''
  digest: ''
gateway:
  image:
    repository: haproxy
    tag: 3.2.22-alpine
    digest: ${digest}
`;
const schemaOf = (defaults: Record<'repository' | 'tag' | 'digest', string>) => ({
  properties: Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [
      name,
      { type: 'string', ...(name === 'digest' && { pattern: '^(sha256:[0-9a-f]{64})?$' }), default: value },
    ]),
  ),
});
const chartSchema = (digest: string): string => {
  const image = schemaOf({ repository: '', tag: '', digest: '' });
  const gateway = { properties: { image: schemaOf({ repository: 'haproxy', tag: '3.2.22-alpine', digest }) } };
  return `${JSON.stringify({ properties: { image, gateway } }, null, 2)}\n`;
};
const HAPROXY = `sha256:${'d'.repeat(64)}`;
const FILES = {
  dockerfile: 'deployment/docker/Dockerfile',
  compose: 'deployment/docker/docker-compose.yml',
  values: 'deployment/helm/prompt-orchestrator/values.yaml',
  schema: 'deployment/helm/prompt-orchestrator/values.schema.json',
};
const BEFORE: Record<keyof typeof FILES, string> = {
  dockerfile: DOCKERFILE,
  compose: COMPOSE,
  values: chartValues("''"),
  schema: chartSchema(''),
};
const FOUND = {
  'node:24.21.0-bookworm-slim': `sha256:${'a'.repeat(64)}`,
  'redis:8.8.2-trixie': `sha256:${'b'.repeat(64)}`,
  'grafana/tempo:3.0.3': `sha256:${'c'.repeat(64)}`,
  'haproxy:3.2.22-alpine': HAPROXY,
};
const names = Object.keys(FILES) as (keyof typeof FILES)[];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'orchestrator-pin-'));
  for (const name of names) {
    mkdirSync(dirname(join(folder, FILES[name])), { recursive: true });
    writeFileSync(join(folder, FILES[name]), BEFORE[name]);
  }
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs it with a `docker` that knows only these digests. */
function pin(known: Record<string, string>): {
  status: number | null;
  said: string;
  after: Record<keyof typeof FILES, string>;
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
  const after = Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, FILES[name]), 'utf8')]));
  return { status, said: stdout + stderr, after: after as typeof BEFORE };
}

describe('pin-digests', () => {
  test('writes the digest that was fetched behind each tag, and changes nothing else', () => {
    const { status, after } = pin(FOUND);
    assert.equal(status, 0);
    const [node, redis] = ['node:24.21.0-bookworm-slim', 'redis:8.8.2-trixie'] as const;
    assert.deepEqual(after, {
      dockerfile: DOCKERFILE.replace(node, `${node}@${FOUND[node]}`),
      compose: COMPOSE.replace(redis, `${redis}@${FOUND[redis]}`).replace('0'.repeat(64), 'c'.repeat(64)),
      values: chartValues(HAPROXY),
      schema: chartSchema(HAPROXY),
    });
  });

  test('puts a newer one in the place of that which is there', () => {
    pin(FOUND);
    const newer = `sha256:${'e'.repeat(64)}`;
    const { status, after } = pin({ ...FOUND, 'haproxy:3.2.22-alpine': newer });
    assert.equal(status, 0);
    assert.deepEqual([after.values, after.schema], [chartValues(newer), chartSchema(newer)]);
  });

  test('writes nothing when one of them was not found', () => {
    const { 'grafana/tempo:3.0.3': _, ...known } = FOUND;
    const { status, said, after } = pin(known);
    assert.equal(status, 1);
    assert.match(said, /grafana\/tempo:3\.0\.3: no digest: not found/);
    assert.deepEqual(after, BEFORE);
  });

  test('takes no answer for a digest that is none', () => {
    const { status, said, after } = pin({ ...FOUND, 'redis:8.8.2-trixie': 'latest' });
    assert.equal(status, 1);
    assert.match(said, /redis:8\.8\.2-trixie: no digest: docker said "latest"/);
    assert.deepEqual(after, BEFORE);
  });

  test('pins what the project has: the gateway of compose and of the chart is one', () => {
    for (const name of names) writeFileSync(join(folder, FILES[name]), readFileSync(join(ROOT, FILES[name]), 'utf8'));
    // To the shell a pattern that any image fits.
    const { status, said, after } = pin({ '*': HAPROXY });
    assert.equal(status, 0, said);
    const gateway = /image: (haproxy:\S+)@sha256/.exec(after.compose)?.[1];
    const [, repository, tag] =
      /repository: (\w+)\n +tag: (\S+)\n +digest: sha256:d+\n/.exec(after.values) ?? assert.fail(after.values);
    assert.equal(`${repository}:${tag}`, gateway);
    const { image, gateway: ofSchema } = JSON.parse(after.schema).properties;
    assert.equal(ofSchema.properties.image.properties.digest.default, HAPROXY);
    assert.equal(image.properties.digest.default, '');
    assert.equal(said.split('\n').filter((line) => line.startsWith('haproxy:')).length, 1);
  });
});
