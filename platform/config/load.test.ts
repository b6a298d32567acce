import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError, loadConfig, loadParts } from './load.ts';
import { services, variables } from './variables.ts';

const enough = { POSTGRES_URI: 'postgres://u:p@db/prompts', REDIS_URI: 'redis:6379' };
const problemsOf = (env: Record<string, string>, service: Parameters<typeof loadConfig>[0] = 'worker'): string[] => {
  try {
    loadConfig(service, env);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
  return [];
};

describe('the environment', () => {
  test('has the defaults that the contract names', () => {
    const defaults = (service: Parameters<typeof loadConfig>[0]) => loadConfig(service, enough);
    const api = defaults('command-api');
    assert.deepEqual(
      [api.PORT, api.HOST, api.DATA_DIR, api.APP_ID, api.NUMBER_OF_WORKERS, api.CALL_TIMEOUT_SECONDS],
      [8080, '0.0.0.0', '.data', 'command-api', 5, 300],
    );
    assert.deepEqual(
      [api.CACHE_TTL_MINUTES, api.GEMINI_API_KEY, api.GEMINI_TIER, api.tracing],
      [5, null, 'none', false],
    );
    assert.equal(loadConfig('embedded', {}).HOST, '127.0.0.1');
    assert.deepEqual(
      (['command-api', 'query-api', 'worker', 'projector'] as const).map((service) => defaults(service).ADMIN_PORT),
      [9464, 9465, 9466, 9467],
    );
    const streams = (service: Parameters<typeof loadConfig>[0]) => defaults(service);
    assert.equal(streams('command-api').REDIS_PUB_STREAM_ID, 'tasks');
    assert.equal(streams('worker').REDIS_PUB_STREAM_ID, 'results');
    assert.equal(streams('worker').REDIS_SUB_STREAM_ID, 'tasks');
    assert.equal(streams('projector').REDIS_RES_STREAM_ID, 'results');
  });

  test('is told all that is wrong with it at once, by name', () => {
    const problems = problemsOf({
      ...enough,
      PORT: 'eighty',
      NUMBER_OF_WORKERS: '0',
      LOG_LEVEL: 'loud',
      GEMINI_TIER: 'gold',
    });
    assert.deepEqual(problems.map((problem) => problem.split(':')[0]).sort(), [
      'GEMINI_TIER',
      'LOG_LEVEL',
      'NUMBER_OF_WORKERS',
      'PORT',
    ]);
  });

  test('is told what is wrong with its parts together with its variables', () => {
    const parts = {
      whole: () => 7,
      broken: () => {
        throw new ConfigError(['A_FILE: cannot be read', 'A_FILE: is old']);
      },
    };
    assert.throws(
      () => loadParts('worker', parts, { ...enough, PORT: 'eighty', OTEL_SDK_DISABLED: 'perhaps' }),
      (error: unknown) => {
        const names = (error as ConfigError).problems.map((problem) => problem.split(':')[0]);
        assert.deepEqual(names, ['PORT', 'OTEL_SDK_DISABLED', 'A_FILE', 'A_FILE']);
        return error instanceof ConfigError;
      },
    );
    const { config, made } = loadParts('worker', { port: ({ PORT }) => PORT + 1 }, { ...enough, PORT: '1' });
    assert.deepEqual([config.PORT, made.port], [1, 2]);
  });

  test('never has its secrets repeated', () => {
    const hidden = Object.entries(variables).filter(([, variable]) => 'secret' in variable && variable.secret);
    assert.ok(hidden.length >= 3);
    for (const [name] of hidden) {
      const text = problemsOf({ ...enough, [name]: 'not-what\tis expected: hunter2' }).join('\n');
      assert.doesNotMatch(text, /hunter2/, name);
    }
  });

  test('that is empty is not set', () => {
    assert.equal(loadConfig('worker', { ...enough, NUMBER_OF_WORKERS: '', GEMINI_API_KEY: '' }).NUMBER_OF_WORKERS, 5);
  });

  test('has a delay that lies within the grace', () => {
    assert.equal(loadConfig('query-api', { ...enough, SHUTDOWN_DELAY_SECONDS: '2.5' }).SHUTDOWN_DELAY_SECONDS, 2.5);
    const problems = problemsOf({ ...enough, SHUTDOWN_DELAY_SECONDS: '5', SHUTDOWN_GRACE_SECONDS: '5' });
    assert.deepEqual(problems, ['SHUTDOWN_DELAY_SECONDS: "5" must be less than SHUTDOWN_GRACE_SECONDS, which is 5']);
    const named = problemsOf({ ...enough, SHUTDOWN_GRACE_SECONDS: 'long' }).map((problem) => problem.split(':')[0]);
    assert.deepEqual(named, ['SHUTDOWN_GRACE_SECONDS']);
  });

  test('of every service can be read', () => {
    for (const service of services) assert.equal(loadConfig(service, enough).service, service);
  });
});

describe('the database’s address', () => {
  const parts = {
    POSTGRES_USER: 'u',
    POSTGRES_PASSWORD: 'p@:/#? ä',
    POSTGRES_HOST: 'db',
    POSTGRES_PORT: '5433',
    POSTGRES_NAME: 'a b',
  };

  test('is made of its parts, whatever characters they have', () => {
    const { POSTGRES_URI } = loadConfig('worker', { ...parts, REDIS_URI: 'r:1' });
    const url = new URL(POSTGRES_URI!);
    assert.deepEqual(
      [
        url.hostname,
        url.port,
        decodeURIComponent(url.username),
        decodeURIComponent(url.password),
        decodeURIComponent(url.pathname),
      ],
      ['db', '5433', 'u', 'p@:/#? ä', '/a b'],
    );
  });

  test('as a whole wins over parts', () => {
    assert.equal(loadConfig('worker', { ...parts, ...enough }).POSTGRES_URI, enough.POSTGRES_URI);
  });

  test('half given is a fault that names what is missing', () => {
    const problems = problemsOf({ POSTGRES_HOST: 'db', REDIS_URI: 'r:1' });
    assert.deepEqual(problems.map((problem) => problem.split(':')[0]).sort(), ['POSTGRES_NAME', 'POSTGRES_USER']);
  });

  test('is needed by every service but the embedded stack and the tools, and so is Redis', () => {
    assert.deepEqual(
      problemsOf({})
        .map((problem) => problem.split(':')[0])
        .sort(),
      ['POSTGRES_URI', 'REDIS_URI'],
    );
    assert.deepEqual(problemsOf({}, 'embedded'), []);
    assert.deepEqual(problemsOf({}, 'cli'), []);
  });
});

test('a collector named in any of the known ways turns tracing on', () => {
  for (const name of ['JAEGER_URI', 'OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']) {
    const value = name === 'JAEGER_URI' ? 'jaeger:4318' : 'http://collector:4318';
    assert.equal(loadConfig('worker', { ...enough, [name]: value }).tracing, true, name);
    for (const off of [{ OTEL_SDK_DISABLED: 'TRUE' }, { OTEL_TRACES_EXPORTER: 'none' }])
      assert.equal(loadConfig('worker', { ...enough, [name]: value, ...off }).tracing, false, name);
  }
});

test('a protocol that no exporter speaks is refused by name, with those that there are', () => {
  for (const name of ['OTEL_EXPORTER_OTLP_PROTOCOL', 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL']) {
    const problems = problemsOf({ ...enough, [name]: 'http/yaml' });
    assert.deepEqual(problems, [`${name}: "http/yaml" must be one of http/json, http/protobuf, grpc`]);
    for (const value of ['http/json', 'http/protobuf', 'grpc'])
      assert.deepEqual(problemsOf({ ...enough, [name]: value }), []);
  }
});

test('a sampler that is none, or a share that is none, is refused by name', () => {
  const wrong = { OTEL_TRACES_SAMPLER: 'sometimes', OTEL_TRACES_SAMPLER_ARG: '10%', OTEL_TRACES_EXPORTER: 'zipkin' };
  assert.deepEqual(
    problemsOf({ ...enough, ...wrong }).map((problem) => problem.split(':')[0]),
    ['OTEL_TRACES_SAMPLER', 'OTEL_TRACES_SAMPLER_ARG', 'OTEL_TRACES_EXPORTER'],
  );
  assert.deepEqual(
    problemsOf({ ...enough, OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.1' }),
    [],
  );
});
