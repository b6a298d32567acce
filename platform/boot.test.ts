/** Whether a process is ready, as its dependencies answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type pg from 'pg';
import { type Booted, readiness } from './boot.ts';

const answering = { query: async () => ({ rows: [] }) } as unknown as pg.Pool;
const away = { query: () => Promise.reject(new Error('connect ECONNREFUSED')) } as unknown as pg.Pool;
const redis = { ping: async () => 'PONG' } as unknown as Booted['redis'];

test('a replica that is away is told by its name, and the primary by its own', async () => {
  const ready = readiness({ pool: answering, redis, replicas: new Map([['reads', away]]) });
  const told = { postgres: { ok: true }, redis: { ok: true }, reads: { ok: false, detail: 'connect ECONNREFUSED' } };
  assert.deepEqual(await ready(), told);
});

test('who was told to stop is not ready, and says so', async () => {
  const stopping = new AbortController();
  const ready = readiness({ pool: answering, redis, replicas: new Map(), stopping: stopping.signal });
  const told = { postgres: { ok: true }, redis: { ok: true } };
  assert.deepEqual(await ready(), told);
  stopping.abort();
  assert.deepEqual(await ready(), { ...told, stopping: { ok: false, detail: 'the process was told to stop' } });
});

test('what is added is told beside them', async () => {
  const more = async () => ({ provider: { ok: false, detail: 'no key' } });
  const told = await readiness({ pool: answering, redis, replicas: new Map() }, more)();
  assert.deepEqual(told, { postgres: { ok: true }, redis: { ok: true }, provider: { ok: false, detail: 'no key' } });
});
