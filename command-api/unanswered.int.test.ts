/** Postgres is late, hangs or is gone while somebody waits for a 202: the answer is honest and comes soon. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { newId } from '../platform/ids.ts';
import { cleanup } from '../testing/kit/cleanup.ts';
import { createTestDatabase } from '../testing/kit/database.ts';
import { startTestStack, type TestStack } from '../testing/kit/stack.ts';
import { until } from '../testing/kit/until.ts';
import { openWire, type Wire } from '../testing/kit/wire.ts';

const t = cleanup(after);
let wire: Wire;
let stack: TestStack;
let key: string;
before(async () => {
  const database = await createTestDatabase(t);
  wire = await openWire(database.uri);
  t.after(wire.close);
  stack = await startTestStack(t, { database: { uri: wire.uri, pool: database.pool } });
  // First of all: a worker that cannot settle would not stop.
  t.after(async () => wire.mend());
  key = await stack.key('ada');
});
beforeEach(() => wire.mend());

async function ask(idempotencyKey: string) {
  const startedAt = performance.now();
  const response = await fetch(`${stack.address}/ask`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      'idempotency-key': idempotencyKey.replaceAll(' ', '-'),
    },
    body: JSON.stringify({ prompt: 'why?' }),
  });
  const body = (await response.json()) as { id?: string; code?: string; retryable?: boolean };
  return {
    ...body,
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    ms: performance.now() - startedAt,
  };
}

/** `overloaded`: it was not sent yet, another call being on its way. */
const NOT_NOW = /^(unavailable|overloaded)$/;
const faults: Record<string, () => void> = {
  'hangs without a word': () => wire.hang(),
  'is gone': () => wire.cut(),
  'is five seconds late with every word': () => wire.delay(5_000),
};

describe('when Postgres', () => {
  for (const [fault, begin] of Object.entries(faults)) {
    test(`${fault}, an ask is 503 with Retry-After, and the same ask later is one prompt`, async () => {
      assert.equal((await ask(`before: ${fault}`)).status, 202); // the key is known now
      begin();
      const refused = await ask(fault);
      assert.deepEqual([refused.status, refused.retryable], [503, true]);
      assert.match(refused.code ?? '', NOT_NOW);
      assert.ok(Number(refused.retryAfter) >= 1);
      // 2 s by design; the rest is for a machine that is busy with other tests.
      assert.ok(refused.ms < 4_000, `${refused.ms} ms`);
      wire.mend();
      const accepted = await until('it is accepted', async () => {
        const again = await ask(fault);
        return again.status === 202 ? again : null;
      });
      const replayed = await ask(fault);
      assert.deepEqual([replayed.status, replayed.id], [202, accepted.id]);
      const { rows } = await stack.database.pool.query<{ n: number }>(
        `SELECT count(*)::integer AS n FROM event WHERE type = 'PromptSubmitted' AND stream_id = $1`,
        [accepted.id],
      );
      assert.equal(rows[0]?.n, 1);
    });
  }

  test('took the right to write away, an ask is 503 with Retry-After until it is given back', async () => {
    assert.equal((await ask('entitled')).status, 202);
    const right = 'EXECUTE ON FUNCTION append_events_v3';
    await stack.database.pool.query(`REVOKE ${right} FROM prompt_app`);
    try {
      const refused = await ask('not entitled');
      assert.deepEqual([refused.status, refused.code, refused.retryable], [503, 'unavailable', true]);
      assert.ok(Number(refused.retryAfter) >= 1);
    } finally {
      await stack.database.pool.query(`GRANT ${right} TO prompt_app`);
    }
    assert.equal((await ask('not entitled')).status, 202);
  });

  test('loses the reply of a commit, the client is told 202 all the same, and the prompt is there once', async () => {
    assert.equal((await ask('warm')).status, 202);
    const before = wire.lost;
    wire.loseAnswer();
    const { status, id } = await ask('lost reply');
    await until('an answer was lost', () => wire.lost > before);
    assert.ok(status === 202 || status === 503);
    const again = await until('it is accepted', async () => {
      const one = await ask('lost reply');
      return one.status === 202 ? one : null;
    });
    if (status === 202) assert.equal(again.id, id);
  });
});

describe('with a key that nobody looked up yet, and with one that is known, every way in is 503 in time', () => {
  const prompt = newId();
  const requests: [method: string, path: string, body?: object][] = [
    ['POST', '/ask', { prompt: 'why?' }],
    ['POST', `/prompts/${prompt}/cancel`],
    ['POST', `/prompts/${prompt}/retry`],
    ['POST', '/prompts/retry', { filter: {}, reason: 'again' }],
    ['POST', '/live/tickets'],
    ['GET', `/prompts/${prompt}`],
  ];
  const send = async (bearer: string, [method, path, body]: (typeof requests)[number]) => {
    const startedAt = performance.now();
    const response = await fetch(`${stack.address}${path}`, {
      method,
      headers: { authorization: `Bearer ${bearer}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    const { code } = (await response.json()) as { code?: string };
    const told = { status: response.status, code, retryAfter: Number(response.headers.get('retry-after')) };
    return { path, ms: performance.now() - startedAt, ...told };
  };

  for (const [fault, begin] of Object.entries({
    'hangs without a word': () => wire.hang(),
    'is gone': () => wire.cut(),
  })) {
    test(`when Postgres ${fault}`, async () => {
      const fresh = await until('there are keys', () =>
        Promise.all(requests.map(() => stack.key('grace'))).catch(() => null),
      );
      const known = await stack.key('grace');
      assert.equal((await send(known, ['GET', '/prompts'])).status, 200);
      begin();
      // Tickets are kept in Redis: a known key needs no Postgres for one.
      const inPostgres = requests.filter(([, path]) => path !== '/live/tickets');
      const answers = await Promise.all([
        ...requests.map((request, i) => send(fresh[i]!, request)),
        ...inPostgres.slice(0, 4).map((request) => send(known, request)),
      ]);
      for (const { path, status, code, retryAfter, ms } of answers) {
        assert.deepEqual([path, status], [path, 503]);
        assert.match(code ?? '', NOT_NOW, path);
        assert.ok(retryAfter >= 1, path);
        assert.ok(ms < 4_000, `${path}: ${ms} ms`);
      }
    });
  }
});
