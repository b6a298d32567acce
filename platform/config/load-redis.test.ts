/** REDIS_URI from the environment to what is connected to. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseRedisUri, type RedisTarget } from '../redis/uri.ts';
import { ConfigError, loadConfig } from './load.ts';

const target = (REDIS_URI: string): RedisTarget =>
  parseRedisUri(loadConfig('worker', { POSTGRES_URI: 'postgres://u@db/n', REDIS_URI }).REDIS_URI!);

const hosts = [
  { host: 'a', port: 26379 },
  { host: '10.0.0.2', port: 26380 },
];

describe('REDIS_URI', () => {
  const known: Record<string, RedisTarget> = {
    'cache.internal:6380': { kind: 'single', uri: 'redis://cache.internal:6380' },
    cache: { kind: 'single', uri: 'redis://cache:6379' },
    'redis://user:p%40ss@cache:6380/3': { kind: 'single', uri: 'redis://user:p%40ss@cache:6380/3' },
    'rediss://cache': { kind: 'single', uri: 'rediss://cache' },
    'redis+sentinel://a:26379,10.0.0.2:26380/mymaster': { kind: 'sentinel', hosts, master: 'mymaster' },
    'redis+cluster://a:26379,10.0.0.2:26380': { kind: 'cluster', hosts },
    'redis+cluster://a': { kind: 'cluster', hosts: [{ host: 'a', port: 6379 }] },
    'redis+sentinel://a/mymaster': { kind: 'sentinel', hosts: [{ host: 'a', port: 26379 }], master: 'mymaster' },
    'rediss+sentinel://ada:p%40s%3A%2Fs@a,10.0.0.2:26380/mymaster/3?sentinelUsername=s&sentinelPassword=q%26a': {
      kind: 'sentinel',
      hosts,
      master: 'mymaster',
      db: 3,
      tls: true,
      login: { username: 'ada', password: 'p@s:/s' },
      sentinelLogin: { username: 's', password: 'q&a' },
    },
    'redis+sentinel://a:26379,10.0.0.2:26380/mymaster?sentinelPassword=q': {
      kind: 'sentinel',
      hosts,
      master: 'mymaster',
      sentinelLogin: { password: 'q' },
    },
    'rediss+cluster://:secret@a:26379,10.0.0.2:26380': {
      kind: 'cluster',
      hosts,
      tls: true,
      login: { password: 'secret' },
    },
  };
  for (const [uri, expected] of Object.entries(known)) {
    test(`may be ${uri}`, () => assert.deepEqual(target(uri), expected));
  }

  // What is wrong is told with the rest of the configuration, before anything is connected to.
  const unknown = [
    'http://cache:6379',
    'cache:port',
    'cache:123456',
    'redis://',
    'redis+sentinel://a:26379',
    'redis+sentinel://a:26379/',
    'redis+sentinel:///mymaster',
    'redis+cluster://a:26379,,b:1',
    'redis+cluster://:26379',
    'cache:99999',
    'redis+sentinel://a/mymaster/three',
    'redis+sentinel://a/mymaster/0/1',
    'redis+sentinel://a/mymaster?db=1',
    'redis+sentinel://a/mymaster?sentinelPassword=p?q',
    'redis+sentinel://a:b:c@h/mymaster',
    'redis+cluster://:50%@a',
    'redis+cluster://user:p@ss@a',
    'redis+clusters://a',
  ];
  for (const uri of unknown) {
    test(`is a fault of the configuration as ${uri}`, () => {
      assert.throws(
        () => target(uri),
        (error: unknown) => error instanceof ConfigError && error.problems.join().startsWith('REDIS_URI: '),
      );
    });
  }
});
