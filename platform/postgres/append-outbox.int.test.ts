/** What an append may do to the prompt's outbox row, and that a refused change leaves no event behind. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { submission } from '../../contracts/prompt/spec.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { until } from '../../testing/kit/until.ts';
import { newId } from '../ids.ts';
import { type AppendResult, appendCall, encodeAppend, type OutboxWrite } from './append.ts';
import { createPool } from './pool.ts';
import { readStreams } from './read.ts';
import { isLocked } from './sqlstate.ts';

const t = cleanup(after);
let database: TestDatabase;
let pool: pg.Pool;
before(async () => {
  database = await createTestDatabase(t);
  pool = createPool({ uri: database.uri, name: 'outbox-writer', max: 2, onError: () => {} });
  t.after(() => pool.end());
});

const metadata = { correlationId: 'c', causationId: null, traceparent: null, actor: 'user:ada' };
const REFUSED = { status: 'conflict', reason: 'outbox' };
const open: OutboxWrite = { op: 'open', user: 'ada', model: 'm', lane: 2 };

async function put(streamId: string, outbox: OutboxWrite): Promise<AppendResult> {
  const events = [{ eventId: newId(), type: 'PromptSubmitted' as const, data: submission, metadata }];
  return (await appendCall(pool, [encodeAppend({ streamId, expectedVersion: null, events, outbox })]))[0]!;
}

type Row = {
  state: string;
  lane: number;
  due_at: string;
  expires_at: string | null;
  traceparent: string | null;
  dispatch: number | null;
  attempt: number;
  token: string | null;
  worker: string | null;
  lease_until: string | null;
  hold_until: string | null;
};
const row = async (streamId: string): Promise<Row | undefined> =>
  (await database.pool.query<Row>('SELECT * FROM outbox WHERE prompt_id = $1', [streamId])).rows[0];
const length = async (streamId: string): Promise<number> =>
  (await readStreams(pool, [streamId])).get(streamId)?.length ?? 0;
const set = (streamId: string, assignments: string) =>
  database.pool.query(`UPDATE outbox SET ${assignments} WHERE prompt_id = $1`, [streamId]);

async function opened(): Promise<string> {
  const streamId = newId();
  assert.equal((await put(streamId, open)).status, 'appended');
  return streamId;
}

async function claimed(terms: { lease?: number; hold?: number | null } = {}) {
  const streamId = await opened();
  await set(streamId, 'dispatch = 7');
  const token = newId();
  const { lease = 30, hold = null } = terms;
  const result = await put(streamId, { op: 'claim', dispatch: 7, token, worker: 'w', attempt: 1, lease, hold });
  assert.equal(result.status, 'appended');
  return { streamId, token, at: Date.parse(result.status === 'appended' ? result.recordedAt : '') };
}

/** The change is refused, and neither the row nor the stream knows of it. */
async function refuses(streamId: string, outbox: OutboxWrite, why: string): Promise<void> {
  const before = [await row(streamId), await length(streamId)];
  assert.deepEqual(await put(streamId, outbox), REFUSED, why);
  assert.deepEqual([await row(streamId), await length(streamId)], before, why);
}

describe('a row', () => {
  test('is opened with what the prompt asked for, due at once when it asked for no time', async () => {
    const streamId = newId();
    const due = '2030-01-01T00:00:00.000Z';
    const expires = '2030-01-02T00:00:00.000Z';
    await put(streamId, { ...open, due, expires, trace: 'trace-1', attempt: 3 });
    const { due_at, expires_at, traceparent, attempt, lane } = (await row(streamId))!;
    assert.deepEqual(
      { due_at, expires_at, traceparent, attempt, lane },
      {
        due_at: due,
        expires_at: expires,
        traceparent: 'trace-1',
        attempt: 3,
        lane: 2,
      },
    );
    const plain = newId();
    const result = await put(plain, open);
    assert.equal((await row(plain))?.due_at, result.status === 'appended' && result.recordedAt);
  });

  test('is not opened twice', async () => {
    await refuses(await opened(), open, 'there is one');
  });

  test('that is not there can be neither claimed, rescheduled, closed nor dropped', async () => {
    const claim: OutboxWrite = {
      op: 'claim',
      dispatch: 1,
      token: newId(),
      worker: 'w',
      attempt: 1,
      lease: 1,
      hold: null,
    };
    for (const write of [claim, { op: 'reschedule', after: 0 }, { op: 'close' }, { op: 'drop' }] as OutboxWrite[]) {
      await refuses(newId(), write, write.op);
    }
  });

  test('once claimed holds the attempt, with lease and waiting time from the time of the event', async () => {
    const { streamId, token, at } = await claimed({ lease: 30, hold: 90 });
    const found = (await row(streamId))!;
    assert.deepEqual([found.token, found.worker, found.attempt], [token, 'w', 1]);
    assert.equal(Date.parse(found.lease_until!) - at, 30_000);
    assert.equal(Date.parse(found.hold_until!) - at, 90_000);
  });

  test('is rescheduled, closed and dropped by the attempt on record alone', async () => {
    const { streamId, token } = await claimed();
    const other = newId();
    await refuses(streamId, { op: 'reschedule', after: 1, token: other }, 'reschedule');
    await refuses(streamId, { op: 'close', token: other }, 'close');
    await refuses(streamId, { op: 'drop', token: other }, 'drop');
    assert.equal((await put(streamId, { op: 'drop', token })).status, 'appended');
    assert.equal(await row(streamId), undefined);
  });

  test('that is rescheduled forgets attempt and dispatch, and is due after the time given', async () => {
    const { streamId, token } = await claimed({ hold: 60 });
    const result = await put(streamId, { op: 'reschedule', after: 45, token });
    const found = (await row(streamId))!;
    const { token: none, worker, lease_until, hold_until, dispatch } = found;
    assert.deepEqual([none, worker, lease_until, hold_until, dispatch], [null, null, null, null, null]);
    assert.equal(found.attempt, 1);
    const at = result.status === 'appended' ? Date.parse(result.recordedAt) : 0;
    assert.equal(Date.parse(found.due_at) - at, 45_000);
  });

  test('that is closed keeps its attempt, whose worker is told; it goes when the attempt is accounted for', async () => {
    const { streamId, token } = await claimed();
    await put(streamId, { op: 'close' });
    const { rows } = await pool.query('SELECT * FROM renew_leases_v1($1, $2, 30)', [[streamId], [token]]);
    assert.deepEqual(rows, [{ prompt_id: streamId, verdict: 'closing' }]);
    const found = (await row(streamId))!;
    assert.deepEqual([found.state, found.token], ['closing', token]);
    assert.equal((await put(streamId, { op: 'drop', token })).status, 'appended');
    assert.equal(await row(streamId), undefined);
  });
});

describe('an attempt is given up for dead', () => {
  const giveUps: OutboxWrite[] = [
    { op: 'reschedule', after: 0, dead: true },
    { op: 'drop', dead: true },
  ];
  for (const write of giveUps) {
    test(`(${write.op}) not while its lease lives, nor while its prompt waits, nor right after a start of Postgres`, async () => {
      const { streamId } = await claimed();
      await refuses(streamId, write, 'the lease lives');
      await set(streamId, "lease_until = now() - interval '1 second', hold_until = now() + interval '1 hour'");
      await refuses(streamId, write, 'its prompt waits for the call’s own end');
      await set(streamId, 'hold_until = NULL, lease_seconds = 1000000');
      await refuses(streamId, write, 'the server is younger than a lease');
      await set(streamId, 'lease_seconds = 0');
      assert.equal((await put(streamId, write)).status, 'appended');
    });

    test(`(${write.op}) only when there is one`, async () => {
      await refuses(await opened(), write, 'no attempt is on record');
    });
  }

  test('and only then can another worker claim', async () => {
    const { streamId } = await claimed();
    await set(streamId, "lease_until = now() - interval '1 second', lease_seconds = 0");
    const claim = (): OutboxWrite => ({
      op: 'claim',
      dispatch: 7,
      token: newId(),
      worker: 'w2',
      attempt: 2,
      lease: 30,
      hold: null,
    });
    await refuses(streamId, claim(), 'the lost attempt is not accounted for');
    await put(streamId, { op: 'reschedule', after: 0, dead: true });
    await refuses(streamId, claim(), 'its number was taken back');
    await set(streamId, 'dispatch = 7');
    assert.equal((await put(streamId, claim())).status, 'appended');
    assert.equal((await row(streamId))?.worker, 'w2');
  });
});

test('a prompt expires after its time alone, and never under an attempt', async () => {
  const { streamId, token } = await claimed();
  const expire: OutboxWrite = { op: 'drop', expired: true };
  await refuses(streamId, expire, 'it has no end');
  await set(streamId, "expires_at = now() - interval '1 second'");
  await refuses(streamId, expire, 'an attempt runs');
  await put(streamId, { op: 'reschedule', after: 0, token });
  await set(streamId, "expires_at = now() + interval '1 hour'");
  await refuses(streamId, expire, 'its time is not over');
  await set(streamId, "expires_at = now() - interval '1 second'");
  assert.equal((await put(streamId, expire)).status, 'appended');
  assert.equal(await row(streamId), undefined);
});

test('a change is judged by the row as it is when its lock is free, not as it was before', async () => {
  const { streamId, token } = await claimed();
  const client = await database.pool.connect();
  try {
    // An append waits for a row for 50 ms: on a slow machine it has given up before the commit, and it is tried again.
    const judged = await until('an append has waited for the row until it was free', async () => {
      await client.query('BEGIN');
      await client.query('UPDATE outbox SET token = gen_random_uuid() WHERE prompt_id = $1', [streamId]);
      const dropping = put(streamId, { op: 'drop', token }).catch(whenLocked);
      let isOver = false;
      void dropping.then(() => {
        isOver = true;
      });
      await until('it waits for the row', async () => isOver || waitsForRow());
      await client.query('COMMIT');
      return dropping;
    });
    assert.deepEqual(judged, REFUSED);
    assert.ok(await row(streamId));
  } finally {
    client.release();
  }
});

/** Null: it did not wait for so long. */
function whenLocked(error: unknown): null {
  if (isLocked(error)) return null;
  throw error;
}

async function waitsForRow(): Promise<boolean> {
  const { rowCount } = await database.pool.query(
    "SELECT FROM pg_stat_activity WHERE application_name = 'outbox-writer' AND wait_event IN ('transactionid', 'tuple') AND datname = current_database()",
  );
  return rowCount === 1;
}
