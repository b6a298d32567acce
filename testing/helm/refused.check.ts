/** Values that would make a release that cannot run are refused before anything is changed, and the message says why. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CHART } from './chart-values.ts';
import { helm, valuesFile } from './helm.ts';

type Refused = [what: string, values: object, message: RegExp];

/** Beside the minimal values. */
const refused: Refused[] = [
  ['an unknown value', { wroker: { slots: 5 } }, /additional properties 'wroker' not allowed/],
  [
    'an unknown value inside another',
    { worker: { slot: 5 } },
    /at '\/worker'.*additional properties 'slot' not allowed/,
  ],
  ['an image without a name', { image: { repository: '' } }, /at '\/image\/repository'.*minLength: got 0, want 1/],
  ['a digest that is none', { image: { digest: 'latest' } }, /at '\/image\/digest'.*does not match pattern/],
  ['no key for the provider', { provider: { apiKeyFrom: null } }, /at '\/provider\/apiKeyFrom'.*want object/],
  [
    'half a reference',
    { postgres: { read: { uriFrom: { name: 'r' } } } },
    /at '\/postgres\/read\/uriFrom'.*missing property 'key'/,
  ],
  ['a worker without slots', { worker: { slots: 0 } }, /at '\/worker\/slots'.*minimum: got 0, want 1/],
  ['a number as text', { worker: { slots: 'many' } }, /at '\/worker\/slots'.*got string, want integer/],
  ['a grace of none', { projector: { shutdownGraceSeconds: 0 } }, /at '\/projector\/shutdownGraceSeconds'.*minimum/],
  [
    'no time left after serving on',
    { queryApi: { shutdownGraceSeconds: 5 } },
    /queryApi\.shutdownDelaySeconds: is part of shutdownGraceSeconds, and must be less/,
  ],
  ['to hold what is no service', { rollout: { hold: ['gateway'] } }, /at '\/rollout\/hold\/0'.*must be one of/],
  ['a budget of nothing', { prometheusRule: { budgetUsdPerDay: 0 } }, /budgetUsdPerDay'.*exclusiveMinimum/],
  ['a variable nobody knows', { config: { LEASE: 5 } }, /at '\/config'.*additional properties 'LEASE' not allowed/],
  ['a variable that has a value of its own', { config: { PORT: 80 } }, /additional properties 'PORT' not allowed/],
  ['a variable out of range', { config: { MAX_ATTEMPTS: 0 } }, /at '\/config\/MAX_ATTEMPTS'.*minimum: got 0, want 1/],
  ['a variable of no known value', { config: { LOG_LEVEL: 'loud' } }, /at '\/config\/LOG_LEVEL'.*must be one of/],
  ['an address that is none', { config: { JAEGER_URI: 'http://a' } }, /at '\/config\/JAEGER_URI'.*does not match/],
  ['a password among the values', { redis: { uri: 'redis://:secret@redis' } }, /at '\/redis\/uri'.*does not match/],
  ['an unknown mode of TLS', { worker: { autoscaling: { postgres: { sslMode: 'yes' } } } }, /sslMode'.*must be one of/],
  ['a spool of no size', { worker: { spool: { size: 'big' } } }, /at '\/worker\/spool\/size'.*does not match/],
  ['a budget of nobody', { gateway: { podDisruptionBudget: { maxUnavailable: 0 } } }, /maxUnavailable'.*minimum/],
  ['no database', { postgres: { uriFrom: null } }, /postgres: set uriFrom, or host, database, user and passwordFrom/],
  ['a database given twice', { postgres: { host: 'db' } }, /postgres: uriFrom is the whole address/],
  [
    'half a login that migrates',
    { postgres: { migration: { user: 'o' } } },
    /postgres\.migration: user and passwordFrom/,
  ],
  ['no Redis', { redis: { uri: '' } }, /redis: set uri .* or uriFrom/],
  ['two of Redis', { redis: { uriFrom: { name: 'r', key: 'u' } } }, /redis: set uri .* or uriFrom/],
  ['an Ingress without a host', { ingress: { enabled: true } }, /ingress\.host: is needed/],
  [
    'an Ingress to nothing',
    { ingress: { enabled: true, host: 'a' }, gateway: { enabled: false } },
    /ingress: needs gateway\.enabled/,
  ],
  ['a route of no Gateway', { httpRoute: { enabled: true } }, /httpRoute\.parentRefs: name the Gateway/],
  ['KEDA without a login', { worker: { autoscaling: { enabled: true } } }, /worker\.autoscaling\.postgres: host/],
  [
    'fewer at most than at least',
    { queryApi: { autoscaling: { enabled: true, minReplicas: 5, maxReplicas: 4 } } },
    /queryApi\.autoscaling: minReplicas is above maxReplicas/,
  ],
];

/** Merged over the minimal values, as a second file would be. */
const template = (values: object) =>
  helm(['template', 'prompts', CHART, '--values', valuesFile('minimal'), '--values', '-'], JSON.stringify(values));

describe('is refused:', () => {
  for (const [what, values, message] of refused) {
    test(what, () => {
      const { status, said } = template(values);
      assert.notEqual(status, 0);
      assert.match(said, message);
    });
  }

  test('everything that is wrong, at once', () => {
    const { said } = template({ worker: { slots: 0 }, config: { MAX_ATTEMPTS: 0 }, wroker: {} });
    for (const part of ['/worker/slots', '/config/MAX_ATTEMPTS', 'wroker']) assert.ok(said.includes(part), said);
    const across = template({ redis: { uri: '' }, ingress: { enabled: true } }).said;
    assert.match(across, /The values are not valid:\n {2}redis: .*\n {2}ingress\.host: /);
  });

  test('and nothing of what is right', () => {
    assert.equal(template({}).status, 0);
    const values = { worker: { slots: 10_000 }, config: { MAX_ATTEMPTS: 100, LEASE_SECONDS: 0.2 }, global: { a: 1 } };
    const { status, said } = template(values);
    assert.equal(status, 0, said);
  });
});
