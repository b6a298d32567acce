/** Where reads go while a replica comes and goes, and what is promised meanwhile. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type pg from 'pg';
import { cleanup } from '../../testing/kit/cleanup.ts';
import type { After } from '../../testing/kit/database.ts';
import { latch, until } from '../../testing/kit/until.ts';
import { createReads, type ReadPool } from './reads.ts';

let t: After;
const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });

/** A server whose answers are its name. */
function server(name: string) {
  const state = { fault: null as Error | null, cursor: 10, asked: 0, busy: Promise.resolve() };
  const answer = async () => {
    await state.busy;
    if (state.fault) throw state.fault;
    return name;
  };
  const connect = async () => ({ query: answer, release: () => {}, name: await answer() });
  return { state, pool: { query: answer, connect } as unknown as ReadPool };
}

function setUp() {
  const [replica, primary] = [server('replica'), server('primary')];
  const promise = { position: 10 };
  const said: string[] = [];
  const log = (_fields: object, message: string) => void said.push(message);
  const reads = createReads({
    replica: replica.pool,
    primary: primary.pool,
    promised: () => promise.position,
    cursorOf: async () => {
      replica.state.asked += 1;
      if (replica.state.fault) throw replica.state.fault;
      return replica.state.cursor;
    },
    log: { info: log, warn: log },
    lookEveryMs: 1,
  });
  t.after(async () => reads.close());
  const read = () => reads.query('SELECT') as unknown as Promise<string>;
  const isBack = () => until('it is read from again', async () => (await read()) === 'replica');
  return { replica: replica.state, primary: primary.state, promise, reads, read, said, isBack };
}

describe('reads', () => {
  // Of this suite: what it leaves would look for its replica in the tests of other files of this process.
  t = cleanup(after);

  test('go to the primary while the replica is away, without one that fails, and back when it is there', async () => {
    const { replica, read, said, isBack } = setUp();
    assert.equal(await read(), 'replica');
    for (const fault of [
      refused,
      new Error('Query read timeout'),
      Object.assign(new Error('the database system is starting up'), { code: '57P03' }),
      Object.assign(new Error('password authentication failed'), { code: '28P01' }),
    ]) {
      replica.fault = fault;
      assert.deepEqual(await Promise.all([read(), read()]), ['primary', 'primary']);
      replica.fault = null;
      await isBack();
    }
    assert.equal(said.filter((line) => /away/.test(line)).length, 4, 'once each time');
  });

  test('that fail for another reason fail, and nobody is away', async () => {
    const { replica, read } = setUp();
    const wrong = Object.assign(new Error('syntax error'), { code: '42601' });
    replica.fault = wrong;
    await assert.rejects(read(), wrong);
    replica.fault = null;
    assert.equal(await read(), 'replica');
  });

  test('stay at the primary while the replica lacks what was promised', async () => {
    const { replica, promise, read, isBack } = setUp();
    replica.fault = refused;
    assert.equal(await read(), 'primary');
    promise.position = 11;
    replica.fault = null;
    const before = replica.asked;
    await until('it was looked at', () => replica.asked > before + 3);
    assert.equal(await read(), 'primary');
    replica.cursor = 11;
    await isBack();
  });

  test('under way at the primary may promise more before anybody is sent to the replica', async () => {
    const { replica, primary, promise, reads, read, isBack } = setUp();
    replica.fault = refused;
    assert.equal(await read(), 'primary');
    for (const slow of [
      async () => void (await read()),
      async () => {
        const client = await reads.connect();
        await client.query('SELECT');
        client.release();
      },
    ]) {
      replica.fault = refused;
      assert.equal(await read(), 'primary');
      const busy = latch();
      primary.busy = busy.promise;
      const underWay = slow().then(() => {
        promise.position += 1;
      });
      replica.fault = null;
      const before = replica.asked;
      await until('the replica has all but that', () => replica.asked > before);
      const next = read();
      primary.busy = Promise.resolve();
      busy.release();
      await underWay;
      assert.equal(await next, 'primary', 'the replica has not got what was promised last');
      replica.cursor = promise.position;
      await isBack();
    }
  });

  test('on a connection that breaks while it is lent out send the next one to the primary', async () => {
    const { replica, reads, read } = setUp();
    const client = (await reads.connect()) as pg.PoolClient & { name: string };
    assert.equal(client.name, 'replica');
    replica.fault = refused;
    client.release(refused);
    const next = (await reads.connect()) as pg.PoolClient & { name: string };
    assert.deepEqual([next.name, await read()], ['primary', 'primary']);
    next.release();
  });
});
