/** Whether a process is ready, as its dependencies answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type pg from 'pg';
import { readiness, type Servers, wordsOf } from './readiness.ts';

const answering = { query: async () => ({ rows: [] }) } as unknown as pg.Pool;
const away = { query: () => Promise.reject(new Error('connect ECONNREFUSED')) } as unknown as pg.Pool;
const redis = { ping: async () => 'PONG' } as unknown as Servers['redis'];
const servers: Servers = { pool: answering, redis, redisFault: () => null, replicas: new Map() };

test('a replica that is away is told by its name and makes nobody less ready, as the primary does', async () => {
  const ready = readiness({ ...servers, replicas: new Map([['reads', away]]) });
  const reads = { ok: true, detail: 'away, the primary answers in its place: connect ECONNREFUSED' };
  assert.deepEqual(await ready(), { postgres: { ok: true }, redis: { ok: true }, reads });
  const postgres = { ok: false, detail: 'connect ECONNREFUSED' };
  assert.deepEqual(await readiness({ ...servers, pool: away })(), { postgres, redis: { ok: true } });
});

test('who was told to stop is not ready, and says so', async () => {
  const stopping = new AbortController();
  const ready = readiness({ ...servers, stopping: stopping.signal });
  const told = { postgres: { ok: true }, redis: { ok: true } };
  assert.deepEqual(await ready(), told);
  stopping.abort();
  assert.deepEqual(await ready(), { ...told, stopping: { ok: false, detail: 'the process was told to stop' } });
});

test('of Redis it is told why there is no connection, not that a command gave up', async () => {
  const gone = { ping: () => Promise.reject(new Error('Reached the max retries')) } as unknown as Servers['redis'];
  const ready = readiness({ ...servers, redis: gone, redisFault: () => new Error('connect ECONNREFUSED 127.0.0.1:1') });
  assert.deepEqual((await ready())['redis'], { ok: false, detail: 'connect ECONNREFUSED 127.0.0.1:1' });
});

test('while it starts, more may be asked of Postgres than that it answers', async () => {
  const ask = () => Promise.reject(new Error('the schema is too old'));
  assert.deepEqual((await readiness(servers, ask)())['postgres'], { ok: false, detail: 'the schema is too old' });
});

test('an error without words of its own speaks by those it stands for', () => {
  const [v6, v4] = [new Error('connect ECONNREFUSED ::1:5432'), new Error('connect ECONNREFUSED 127.0.0.1:5432')];
  assert.equal(wordsOf(new AggregateError([v6, v4])), `${v6.message}; ${v4.message}`);
  const cluster = Object.assign(new Error('Failed to refresh slots cache.'), { lastNodeError: v4 });
  assert.equal(wordsOf(cluster), `Failed to refresh slots cache.; ${v4.message}`);
});
