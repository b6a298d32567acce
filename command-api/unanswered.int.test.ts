/** Postgres is late, hangs or is gone while somebody waits for a 202: the answer is honest and comes soon. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
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
      assert.deepEqual([refused.status, refused.code, refused.retryable], [503, 'unavailable', true]);
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
