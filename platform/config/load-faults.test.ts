/** What a wrong environment is told, and what it is never told. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError, type Environment, loadConfig } from './load.ts';
import type { Service } from './variables.ts';

const enough = { POSTGRES_URI: 'postgres://u:p@db/prompts', REDIS_URI: 'redis:6379' };

function errorOf(env: Environment, service: Service = 'worker'): ConfigError {
  try {
    loadConfig(service, env);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error;
  }
  throw new Error('the configuration was accepted');
}
const namesOf = (error: ConfigError) => error.problems.map((problem) => problem.split(':')[0]).sort();

describe('all problems at once', () => {
  test('takes in a database that is missing beside another variable that is wrong', () => {
    assert.deepEqual(namesOf(errorOf({ PORT: 'eighty' })), ['PORT', 'POSTGRES_URI', 'REDIS_URI']);
  });

  test('names a wrong address once, not as missing too', () => {
    assert.deepEqual(namesOf(errorOf({ POSTGRES_URI: 'mysql://db', REDIS_URI: 'a b', NUMBER_OF_WORKERS: '-1' })), [
      'NUMBER_OF_WORKERS',
      'POSTGRES_URI',
      'REDIS_URI',
    ]);
  });

  test('are in the message, each on a line of its own with what is expected', () => {
    const { message, code } = errorOf({ ...enough, PORT: '65536', LOG_LEVEL: 'loud', JAEGER_URI: 'http://jaeger' });
    assert.equal(code, 'invalid_configuration');
    const [head, ...lines] = message.split('\n');
    assert.match(head ?? '', /configuration is not valid/);
    assert.deepEqual(lines.sort(), [
      '  JAEGER_URI: "http://jaeger" must be host:port',
      '  LOG_LEVEL: "loud" must be one of trace, debug, info, warn, error, silent',
      '  PORT: "65536" must be a whole number from 0 to 65535',
    ]);
  });

  test('keep each problem on one line, whatever the value', () => {
    const { problems } = errorOf({ ...enough, LOG_LEVEL: 'loud\n  FORGED: line\u001b[31m' });
    assert.equal(problems.length, 1);
    assert.ok(!/\n/.test(problems[0]!) && !problems[0]!.includes('\u001b'));
  });
});

describe('a number', () => {
  const wrong = ['', ' ', '1.5', '-1', '0x10', '1e3', '٣', '9007199254740993', 'Infinity', '5 '].slice(1);
  for (const value of wrong) {
    test(`is refused as ${JSON.stringify(value)}`, () => {
      assert.deepEqual(namesOf(errorOf({ ...enough, MAX_ATTEMPTS: value })), ['MAX_ATTEMPTS']);
    });
  }

  test('may be at either end of its range', () => {
    const config = loadConfig('worker', { ...enough, PORT: '0', ADMIN_PORT: '65535', LEASE_SECONDS: '0.2' });
    assert.deepEqual([config.PORT, config.ADMIN_PORT, config.LEASE_SECONDS], [0, 65535, 0.2]);
    assert.deepEqual(namesOf(errorOf({ ...enough, LEASE_SECONDS: '0.1' })), ['LEASE_SECONDS']);
  });
});

describe('a secret', () => {
  const SECRET = 'hunter2';
  const wrong: Environment[] = [
    { ...enough, POSTGRES_URI: `postgres://u:${SECRET} with a space@db/n` },
    { ...enough, POSTGRES_URI: `u:${SECRET}@db/n` },
    { ...enough, POSTGRES_READ_URI: `mysql://u:${SECRET}@replica/n` },
    { ...enough, REDIS_URI: `http://:${SECRET}@redis:6379` },
    { ...enough, REDIS_URI: `user:${SECRET}@redis:6379` },
    // Right by themselves, while something else is wrong.
    { ...enough, GEMINI_API_KEY: SECRET, POSTGRES_PASSWORD: SECRET, PORT: 'x' },
    { REDIS_URI: 'r:1', POSTGRES_PASSWORD: SECRET, POSTGRES_HOST: 'db' },
  ];
  for (const env of wrong) {
    const names = Object.keys(env).filter((name) => env[name]?.includes(SECRET));
    test(`in ${names.join(', ')} is in no message: ${namesOf(errorOf(env)).join(', ')}`, () => {
      const error = errorOf(env);
      const told = [error.message, error.stack, JSON.stringify(error), error.problems.join()].join('\n');
      assert.doesNotMatch(told, new RegExp(SECRET));
    });
  }
});

describe('a password alone', () => {
  test('is not half a database: it may stand beside a whole address', () => {
    assert.equal(loadConfig('worker', { ...enough, POSTGRES_PASSWORD: 'p' }).POSTGRES_URI, enough.POSTGRES_URI);
  });

  test('or a port alone, without the address, is told what else is needed', () => {
    for (const env of [{ POSTGRES_PASSWORD: 'p' }, { POSTGRES_PORT: '5433' }]) {
      const { message } = errorOf({ ...env, REDIS_URI: 'r:1' });
      for (const name of ['POSTGRES_USER', 'POSTGRES_HOST', 'POSTGRES_NAME']) assert.match(message, new RegExp(name));
    }
  });
});

test('nothing can be changed afterwards, and what is no variable of ours is not looked at', () => {
  const config = loadConfig('worker', { ...enough, SOMETHING_ELSE: 'x' });
  assert.ok(Object.isFrozen(config));
  assert.ok(!('SOMETHING_ELSE' in config));
  for (const part of ['POSTGRES_USER', 'POSTGRES_PASSWORD', 'POSTGRES_HOST', 'POSTGRES_NAME'])
    assert.ok(!(part in config), part);
});
