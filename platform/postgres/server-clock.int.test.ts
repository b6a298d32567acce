/** The server's time carried on by the monotonic clock: what the machine's own clock says does not matter. */
import assert from 'node:assert/strict';
import { after, before, describe, mock, test } from 'node:test';
import type pg from 'pg';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { until } from '../../testing/kit/until.ts';
import { createPool } from './pool.ts';
import { followServerClock } from './server-clock.ts';

const t = cleanup(after);
let database: TestDatabase;
let pool: pg.Pool;
before(async () => {
  database = await createTestDatabase(t);
  pool = createPool({ uri: database.uri, name: 'clock', max: 2, onError: () => {} });
  t.after(() => pool.end());
});

const HOUR = 3_600_000;
const never = (error: Error) => assert.fail(error);

async function serverTime(): Promise<number> {
  const { rows } = await pool.query<{ ms: number }>(
    'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms',
  );
  return rows[0]!.ms;
}

describe('the server’s clock', () => {
  for (const skew of [HOUR, -HOUR]) {
    test(`is right where the process’s is ${skew / HOUR} h off`, async () => {
      const real = Date.now;
      mock.method(Date, 'now', () => real() + skew);
      const clock = await followServerClock(pool, { onError: never });
      try {
        const off = clock.now().getTime() - (await serverTime());
        assert.ok(Math.abs(off) < 10_000, `${off} ms`);
      } finally {
        clock.stop();
        mock.restoreAll();
      }
    });
  }

  test('is asked again, and carried on while it cannot be', async () => {
    let asked = 0;
    let isAway = false;
    const errors: Error[] = [];
    const flaky = {
      connect: async () => {
        asked += 1;
        if (isAway) throw new Error('away');
        return pool.connect();
      },
    } as unknown as pg.Pool;
    const clock = await followServerClock(flaky, { everyMs: 5, onError: (error) => errors.push(error) });
    try {
      await until('it was asked thrice', () => asked >= 3);
      isAway = true;
      await until('it failed thrice', () => errors.length >= 3);
      const first = clock.now().getTime();
      await until('it goes on', () => clock.now().getTime() > first);
      assert.ok(Math.abs(clock.now().getTime() - (await serverTime())) < 5_000);
    } finally {
      clock.stop();
    }
  });
});
