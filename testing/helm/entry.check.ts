/** Both entries, the gateway and the route of the Gateway API, send every operation to the service that has it. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ROOT } from './chart-values.ts';
import { find, manifestsOf } from './helm.ts';

type Operation = { method: string; path: string; service: string };

/** As the sources of the two services register them. */
const operations = ['command-api', 'query-api'].flatMap((service): Operation[] =>
  globSync('routes/*.ts', { cwd: join(ROOT, service) })
    .map((file) => readFileSync(join(ROOT, service, file), 'utf8'))
    .flatMap((source) => [
      ...source.matchAll(/server\.(get|post|put|patch|delete)\(\s*'([^']+)'/g),
      ...source.matchAll(/server\.route\(\{\s*method: '(\w+)',\s*url: '([^']+)'/g),
    ])
    .map(([, method = '', path = '']) => ({ method: method.toUpperCase(), path, service })),
);
const pages = ['/', '/docs', '/openapi.json', '/health'].map((path) => ({ method: 'GET', path, service: 'query-api' }));

test('the operations are those of the API’s description', () => {
  const { paths } = JSON.parse(readFileSync(join(ROOT, 'doc/reference/openapi.json'), 'utf8')) as {
    paths: Record<string, Record<string, unknown>>;
  };
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`),
  );
  const found = operations.map(({ method, path }) => `${method} ${path}`);
  const elsewhere = ['GET /health', 'GET /live', 'GET /'];
  assert.deepEqual(
    described.filter((one) => !found.includes(one) && !elsewhere.includes(one)),
    [],
  );
  assert.ok(found.length > 20);
});

describe('every operation reaches its service', () => {
  test('over the route of the Gateway API', () => {
    type Match = { path: { type: string; value: string }; method?: string };
    const rules = find(manifestsOf('sentinel'), 'HTTPRoute').spec.rules as {
      matches: Match[];
      backendRefs: { name: string }[];
    }[];
    const candidates = rules.flatMap(({ matches, backendRefs }) =>
      matches.map((match) => ({ match, backend: backendRefs[0]!.name })),
    );
    // As the Gateway API ranks them: an exact path, then the longer prefix, then a method.
    const rank = ({ path, method }: Match) => [path.type === 'Exact' ? 1 : 0, path.value.length, method ? 1 : 0];
    const chosen = ({ method, path }: Operation): string | undefined =>
      candidates
        .filter(({ match }) => match.method === undefined || match.method === method)
        .filter(({ match }) =>
          match.path.type === 'Exact' ? path === match.path.value : path.startsWith(match.path.value),
        )
        .sort((a, b) => {
          const [ranksA, ranksB] = [rank(a.match), rank(b.match)];
          return ranksA.map((value, i) => ranksB[i]! - value).find((difference) => difference !== 0) ?? 0;
        })[0]?.backend;
    const wrong = [...operations, ...pages].filter((one) => !chosen(one)?.endsWith(`-${one.service}`));
    assert.deepEqual(wrong, []);
  });

  test('over the gateway, which is everywhere the same', () => {
    const files = globSync('deployment/**/haproxy.cfg', { cwd: ROOT });
    const texts = new Set(files.map((file) => readFileSync(join(ROOT, file), 'utf8')));
    assert.equal(texts.size, 1, files.join(' and '));
    const config = find(manifestsOf('minimal'), 'ConfigMap', '-gateway').data!['haproxy.cfg']!;
    const [, methods = ''] = /acl reads method (.+)/.exec(config) ?? [];
    const [, tickets = ''] = /acl tickets path (.+)/.exec(config) ?? [];
    assert.match(config, /use_backend query-api if reads or tickets\n\s+default_backend command-api/);
    const chosen = ({ method, path }: Operation) =>
      methods.split(' ').includes(method) || path === tickets ? 'query-api' : 'command-api';
    const wrong = [...operations, ...pages].filter((one) => chosen(one) !== one.service);
    assert.deepEqual(wrong, []);
  });
});
