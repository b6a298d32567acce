/** What a pod is told to connect to it may reach, and nothing else: its environment against its network policy. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { parseRedisUri } from '../../platform/redis/uri.ts';
import { CHART, ROOT } from './chart-values.ts';
import {
  type Container,
  find,
  helm,
  type Manifest,
  manifestsOf,
  podsOf,
  render,
  VALUES,
  type ValuesName,
  valuesFile,
} from './helm.ts';
import { yaml } from './tools.ts';

type Target = 'postgres' | 'redis' | 'telemetry' | 'provider';
/** `isAssumed`: no value says the port; those of `networkPolicy` count in its place. */
type Address = { target: Target; host: string; port: number; isAssumed?: true };
type Policy = Partial<Record<Target | 'dns', { ports?: number[]; to?: object[] }>>;
type Peer = { ipBlock?: { cidr: string }; podSelector?: object };
type Rule = { ports: { port: number | string; protocol?: string }[]; to?: Peer[] };

const SECRET = 'what a Secret says';
const PROVIDER = 'generativelanguage.googleapis.com';

const read =
  (target: Target, assumed: number[], parse: (value: string) => Omit<Address, 'target'>[]) =>
  (value: string | undefined): Address[] => {
    const found = value ? parse(value) : assumed.map((port) => ({ host: SECRET, port, isAssumed: true as const }));
    return found.map((one) => ({ target, ...one }));
  };
const parseUrl = (value: string): { host: string; port: number }[] => {
  const { protocol, hostname, port } = new URL(value);
  return [{ host: hostname, port: Number(port) || { 'http:': 80, 'https:': 443, 'postgres:': 5432 }[protocol]! }];
};
function parseRedis(value: string): Omit<Address, 'target'>[] {
  const redis = parseRedisUri(value);
  if (redis.kind === 'cluster') return redis.hosts;
  if (redis.kind === 'sentinel') return [...redis.hosts, { host: redis.master, port: 6379, isAssumed: true }];
  const { hostname, port } = new URL(redis.uri);
  return [{ host: hostname, port: Number(port) || 6379 }];
}

/** Every variable that names an address. */
const ADDRESSES: Record<string, (value: string | undefined, env: Map<string, string | undefined>) => Address[]> = {
  POSTGRES_URI: read('postgres', [5432], parseUrl),
  POSTGRES_READ_URI: read('postgres', [5432], parseUrl),
  POSTGRES_HOST: (host = SECRET, env) => [{ target: 'postgres', host, port: Number(env.get('POSTGRES_PORT')) }],
  REDIS_URI: read('redis', [6379, 26379], parseRedis),
  JAEGER_URI: read('telemetry', [4318], (value) => parseUrl(`http://${value}`)),
  OTEL_EXPORTER_OTLP_ENDPOINT: read('telemetry', [4318], parseUrl),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: read('telemetry', [4318], parseUrl),
  GEMINI_BASE_URL: read('provider', [443], parseUrl),
  GEMINI_API_KEY: (_, env) =>
    env.has('GEMINI_BASE_URL') ? [] : [{ target: 'provider', host: PROVIDER, port: 443, isAssumed: true }],
};

function addressesOf({ env }: Container, policy: Policy): Address[] {
  const given = new Map(env.map(({ name, value }) => [name, value]));
  const all = [...given].flatMap(([name, value]) => ADDRESSES[name]?.(value, given) ?? []);
  return all.flatMap((address) => {
    const ports = policy[address.target]?.ports ?? [];
    return address.isAssumed && ports.length > 0 ? ports.map((port) => ({ ...address, port })) : address;
  });
}

/** Peers that the values name are the operator's word; the chart's own are the public internet. */
const leadsTo = ({ to }: Rule, { target, host }: Address, policy: Policy): boolean =>
  to === undefined ||
  isDeepStrictEqual(to, policy[target]?.to) ||
  (host === PROVIDER && to.some(({ ipBlock }) => ipBlock?.cidr === '0.0.0.0/0'));

const egressOf = (manifests: Manifest[], component: string): Rule[] =>
  find(manifests, 'NetworkPolicy', `-${component}`).spec.egress as Rule[];
const isDns = ({ ports }: Rule): boolean => ports.every(({ protocol }) => protocol !== undefined);

/** Each pod but the gateway's, in words: what it cannot reach, and ports that lead nowhere. */
function faultsOf(manifests: Manifest[], policy: Policy): string[] {
  return podsOf(manifests)
    .filter(({ component }) => component !== 'gateway')
    .flatMap(({ component, container }) => {
      const rules = egressOf(manifests, component).filter((rule) => !isDns(rule));
      const addresses = addressesOf(container, policy);
      assert.ok(addresses.length > 0, component);
      const away = addresses.filter(
        (address) =>
          !rules.some((rule) => rule.ports.some(({ port }) => port === address.port) && leadsTo(rule, address, policy)),
      );
      const targets = new Set(addresses.map(({ target }) => target));
      const meant = [...targets].flatMap((target) => policy[target]?.ports ?? []);
      const known = new Set<number | string>([...addresses.map(({ port }) => port), ...meant]);
      const open = rules.flatMap(({ ports }) => ports.map(({ port }) => port)).filter((port) => !known.has(port));
      return [
        ...away.map(({ target, host, port }) => `${component} cannot reach ${target} at ${host}:${port}`),
        ...open.map((port) => `${component} may reach port ${port}, and nothing tells it to`),
      ];
    });
}

const policyOf = (name: ValuesName): Policy => {
  const values = yaml().parse(readFileSync(join(ROOT, valuesFile(name)), 'utf8')) as { networkPolicy?: Policy };
  return values.networkPolicy ?? {};
};

test('all values files of the chart are looked at', () => {
  const files = globSync(`${CHART}/ci/*`, { cwd: ROOT }).map((file) => basename(file));
  assert.deepEqual(files.sort(), VALUES.map((name) => basename(valuesFile(name))).sort());
});

for (const name of VALUES) {
  describe(`with ${name} values`, () => {
    const manifests = manifestsOf(name);

    test('every pod reaches what its environment names, and opens no port for nobody', () => {
      assert.deepEqual(faultsOf(manifests, policyOf(name)), []);
    });

    test('no variable with an address is unknown here', () => {
      const isAddress = (value = ''): boolean => /^[a-z+]+:\/\/|^[^\s/]+:\d+$/.test(value);
      const unknown = podsOf(manifests)
        .flatMap(({ container }) => container.env)
        .filter(({ name: variable, value }) => isAddress(value) && !(variable in ADDRESSES))
        .map(({ name: variable }) => variable);
      assert.deepEqual(
        unknown.filter((variable) => !variable.startsWith('GATEWAY_')),
        [],
      );
    });

    test('the gateway reaches the pods behind the Services that its environment names', () => {
      const gateway = podsOf(manifests).find(({ component }) => component === 'gateway');
      for (const { value = '' } of gateway?.container.env ?? []) {
        const [, host = '', port] = /^([^.]+)\.prod\.svc\.[^:]+:(\d+)$/.exec(value) ?? [];
        const { spec } = find(manifests, 'Service', host);
        const served = spec.ports.find((one: { port: number }) => one.port === Number(port));
        const rule = egressOf(manifests, 'gateway').find(({ to = [] }) =>
          isDeepStrictEqual(to, [{ podSelector: { matchLabels: spec.selector } }]),
        );
        assert.deepEqual(rule?.ports, [{ port: served.targetPort }], value);
      }
    });

    test('every pod may ask for names, also where the pods that answer listen on 5353', () => {
      for (const { component } of podsOf(manifests)) {
        const asked = egressOf(manifests, component)
          .filter(isDns)
          .flatMap(({ ports }) => ports.map(({ port, protocol }) => `${protocol} ${port}`));
        assert.deepEqual(asked.sort(), ['TCP 53', 'TCP 5353', 'UDP 53', 'UDP 5353'], component);
      }
    });
  });
}

describe('an address', () => {
  const uriFrom = { name: 'secret', key: 'uri' };
  type Case = [
    what: string,
    values: { networkPolicy?: Policy } & Record<string, unknown>,
    ports: Partial<Record<Target, string>>,
  ];
  /** Over the minimal values: Postgres in a Secret, Redis at redis:6379. */
  const cases: Case[] = [
    ['of Redis without a port', { redis: { uri: 'redis' } }, { redis: '6379' }],
    ['of Redis as a URL', { redis: { uri: 'redis://redis:7000/3' } }, { redis: '7000' }],
    ['of Redis with TLS', { redis: { uri: 'rediss://redis:6380' } }, { redis: '6380' }],
    [
      'of sentinels, which tell where the master is',
      { redis: { uri: 'redis+sentinel://a:26380,b,c:26381/mymaster/0' } },
      { redis: '26380 26379 26381 6379' },
    ],
    [
      'of sentinels whose servers have another port',
      { redis: { uri: 'rediss+sentinel://a,b/mymaster' }, networkPolicy: { redis: { ports: [6380] } } },
      { redis: '26379 6380' },
    ],
    [
      'of a Cluster, and nodes with other ports',
      { redis: { uri: 'redis+cluster://a:7000,b:7001' }, networkPolicy: { redis: { ports: [7002, 7003] } } },
      { redis: '7000 7001 7002 7003' },
    ],
    [
      'that Secrets hold, with ports of their own',
      {
        redis: { uri: '', uriFrom },
        postgres: { read: { uriFrom } },
        networkPolicy: { redis: { ports: [6380] }, postgres: { ports: [6432] } },
      },
      { redis: '6380', postgres: '6432' },
    ],
    ['that Secrets hold', { redis: { uri: '', uriFrom } }, { redis: '6379 26379', postgres: '5432' }],
    [
      'of a collector with TLS',
      { config: { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector.example' } },
      { telemetry: '443' },
    ],
    [
      'of two collectors',
      { config: { JAEGER_URI: 'jaeger:14318', OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector/v1/traces' } },
      { telemetry: '14318 80' },
    ],
    [
      'among the further variables',
      { extraEnv: [{ name: 'OTEL_EXPORTER_OTLP_ENDPOINT', value: 'http://collector:4319' }] },
      { telemetry: '4319' },
    ],
    [
      'of a collector that a Secret holds',
      { extraEnv: [{ name: 'OTEL_EXPORTER_OTLP_ENDPOINT', valueFrom: { secretKeyRef: uriFrom } }] },
      { telemetry: '4318' },
    ],
    ['of a Gemini inside', { config: { GEMINI_BASE_URL: 'http://gemini.models:8080/v1' } }, { provider: '8080' }],
    [
      'of a Gemini behind a proxy of several ports',
      { networkPolicy: { provider: { ports: [8443, 9443], to: [{ podSelector: {} }] } } },
      { provider: '8443 9443' },
    ],
  ];
  const manifestsWith = (values: object) => render(valuesFile('minimal'), JSON.stringify(values));

  for (const [what, values, expected] of cases) {
    test(`${what} opens its port`, () => {
      const manifests = manifestsWith(values);
      assert.deepEqual(faultsOf(manifests, values.networkPolicy ?? {}), []);
      const rules = egressOf(manifests, 'worker').filter((rule) => !isDns(rule));
      const opened = rules.map(({ ports }) => ports.map(({ port }) => port).join(' '));
      const standard = { postgres: '5432', redis: '6379', telemetry: '', provider: '443' };
      assert.deepEqual(
        opened,
        Object.values({ ...standard, ...expected }).filter((ports) => ports !== ''),
      );
    });
  }

  test('that the policy does not open is found out', () => {
    const spoilt = structuredClone(manifestsOf('sentinel'));
    for (const rule of egressOf(spoilt, 'projector'))
      for (const one of rule.ports) if (one.port === 6432) one.port = 5432;
    assert.deepEqual(faultsOf(spoilt, policyOf('sentinel')), [
      'projector cannot reach postgres at postgres.data.svc:6432',
      'projector may reach port 5432, and nothing tells it to',
    ]);
    const isolated = structuredClone(manifestsOf('everything'));
    for (const rule of egressOf(isolated, 'worker')) if (!isDns(rule)) rule.to = [{ ipBlock: { cidr: '8.8.8.8/32' } }];
    assert.ok(
      faultsOf(isolated, policyOf('everything')).includes('worker cannot reach provider at gemini.internal:443'),
    );
  });
});

test('who installs is told what the chart cannot read of a Secret', () => {
  const notes = (name: ValuesName, values: object) => {
    const args = ['install', 'prompts', CHART, '--dry-run=client', '--values', valuesFile(name), '--values', '-'];
    return helm(args, JSON.stringify(values)).said;
  };
  const minimal = notes('minimal', { networkPolicy: { postgres: { ports: [6432, 6433] } } });
  assert.match(minimal, /Postgres are in Secrets: network policies open port 6432, 6433 /);
  assert.doesNotMatch(minimal, /Redis is in a Secret/);
  const sentinel = notes('sentinel', {});
  assert.match(sentinel, /Redis is in a Secret: network policies open ports 6379, 26379 /);
  assert.doesNotMatch(sentinel, /Postgres are in Secrets/);
  assert.doesNotMatch(notes('minimal', { networkPolicy: { enabled: false } }), /in a Secret|in Secrets/);
});
