/** What a client is made with for Sentinel and for a cluster; no server is asked. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clusterOptions, sentinelOptions } from './connection.ts';
import { parseRedisUri, type RedisTarget } from './uri.ts';

const options = { name: 'worker-tasks', onError: () => {}, commandTimeoutMs: 7_000 };
function of<K extends RedisTarget['kind']>(kind: K, uri: string): Extract<RedisTarget, { kind: K }> {
  const target = parseRedisUri(uri);
  assert.equal(target.kind, kind);
  return target as Extract<RedisTarget, { kind: K }>;
}

describe('Sentinel', () => {
  test('is asked for the master, with a login of its own and a time-out', () => {
    const uri = 'redis+sentinel://ada:p@a,b:1/mymaster/2?sentinelUsername=s&sentinelPassword=q';
    const made: object = sentinelOptions(of('sentinel', uri), options);
    assert.partialDeepStrictEqual(made, {
      sentinels: [
        { host: 'a', port: 26379 },
        { host: 'b', port: 1 },
      ],
      name: 'mymaster',
      db: 2,
      username: 'ada',
      password: 'p',
      sentinelUsername: 's',
      sentinelPassword: 'q',
      sentinelCommandTimeout: 3_000,
      connectTimeout: 3_000,
      commandTimeout: 7_000,
      socketTimeout: 8_000,
    });
    assert.ok(!('tls' in made));
  });

  test('is asked over TLS where its master is', () => {
    const made = sentinelOptions(of('sentinel', 'rediss+sentinel://a/mymaster'), options);
    assert.partialDeepStrictEqual(made, { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true });
    assert.ok(!('password' in made) && !('sentinelPassword' in made));
  });
});

describe('a cluster', () => {
  test('gives every node the login, and queues nothing while none is there', () => {
    const made: object = clusterOptions(of('cluster', 'redis+cluster://ada:p@a,b'), options);
    assert.partialDeepStrictEqual(made, {
      enableOfflineQueue: false,
      redisOptions: { username: 'ada', password: 'p', commandTimeout: 7_000, autoResendUnfulfilledCommands: false },
    });
    assert.ok(!('dnsLookup' in made));
  });

  test('over TLS is connected to by name, as its certificates say', () => {
    const made = clusterOptions(of('cluster', 'rediss+cluster://a'), options);
    assert.deepEqual(made.redisOptions.tls, {});
    const found: unknown[] = [];
    made.dnsLookup!('node-1.cache', (...answer) => found.push(answer));
    assert.deepEqual(found, [[null, 'node-1.cache']]);
  });
});

test('a command that a replica refuses makes a new connection, other errors do not', () => {
  const { reconnectOnError } = sentinelOptions(of('sentinel', 'redis+sentinel://a/m'), options);
  assert.equal(reconnectOnError(new Error("READONLY You can't write against a read only replica.")), true);
  assert.equal(reconnectOnError(new Error('WRONGTYPE Operation against a key')), false);
});
