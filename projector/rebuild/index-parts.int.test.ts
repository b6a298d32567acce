/** The end of a bulk phase: as fast as it goes while nothing is live, else without taking the server from what is; and how far it is. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createPool } from '../../platform/postgres/pool.ts';
import { readHead } from '../../platform/postgres/read.ts';
import { type ArchivedLog, createLog } from '../../testing/kit/archived-log.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { until } from '../../testing/kit/until.ts';
import { type IndexOptions, makeParts } from './index-parts.ts';
import { createLaneStore } from './lane-store.ts';
import { foldInLanes } from './lanes.ts';
import { beginVersion } from './versions.ts';

const t = cleanup(after);
let log: ArchivedLog;
before(async () => {
  log = await createLog(t, 300);
});

/** A version whose lanes are at their end. */
async function fold(): Promise<number> {
  const target = await readHead(log.pool);
  const version = await beginVersion(log.pool, { target, frozen: false, prices: null, lanes: 1 });
  await foldInLanes({ store: createLaneStore(log.pool, version, null), target });
  return version;
}

/** Its parts, one of which waits for a table, with a pool that keeps what it was asked. */
async function begin(table: string, options: IndexOptions) {
  const version = await fold();
  const pool = createPool({ uri: log.database.uri, name: 'parts', max: 6, onError: () => {} });
  t.after(() => pool.end());
  const asked: string[] = [];
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...all: unknown[]) => unknown;
    Object.assign(client, {
      query: (...all: unknown[]) => {
        asked.push(String(all[0]));
        return query(...all);
      },
    });
  });
  const holder = await log.database.pool.connect();
  let held = true;
  const release = async () => {
    if (!held) return;
    held = false;
    await holder.query('ROLLBACK');
    holder.release();
  };
  t.after(release); // of a test that failed
  await holder.query('BEGIN');
  await holder.query(`LOCK TABLE ${table}_v${version} IN ACCESS EXCLUSIVE MODE`);
  const making = makeParts(pool, version, options);
  making.catch(() => {}); // heard when it is awaited
  const waits = `SELECT FROM pg_locks WHERE relation = '${table}_v${version}'::regclass AND NOT granted`;
  await until('it waits', async () => (await log.database.pool.query(waits)).rowCount !== 0);
  return {
    version,
    making,
    parts: () => asked.filter((text) => /^SELECT (merge|index)_/.test(text)).length,
    alone: () => asked.filter((text) => /^BEGIN; SET LOCAL max_parallel_maintenance_workers = 0$/.test(text)).length,
    release,
  };
}
const isThere = async (index: string) =>
  (await log.database.pool.query(`SELECT FROM pg_indexes WHERE indexname = $1`, [index])).rowCount === 1;

describe('the parts', () => {
  test('are made at once while nothing is live', async () => {
    const { version, making, parts, alone, release } = await begin('usage_delta', { isLive: false });
    await until('others are made', () => isThere(`prompt_text_v${version}_words_idx`));
    assert.deepEqual([parts(), alone()], [4, 0]);
    await release();
    await making;
    assert.ok(await isThere(`prompt_v${version}_user_idx`));
  });

  test('are made one after the other by one process of the server each while prompts come in', async () => {
    const { version, making, parts, alone, release } = await begin('prompt', { isLive: true });
    assert.deepEqual([parts(), alone()], [1, 1]);
    await release();
    await making;
    assert.deepEqual([parts(), alone()], [4, 4]);
    assert.ok(await isThere(`prompt_text_v${version}_words_idx`));
  });

  test('tell how far they are, and so does the server of an index that is not whole', async () => {
    const version = await fold();
    // An index of that table that stands at the end of its scan, as a large one does for long.
    const { pool } = log.database;
    await pool.query(`CREATE FUNCTION held_at(id uuid, last uuid) RETURNS uuid LANGUAGE plpgsql IMMUTABLE AS $$
      BEGIN IF id = last THEN PERFORM pg_advisory_xact_lock(99); END IF; RETURN id; END $$`);
    const { rows } = await pool.query<{ last: string }>(
      `SELECT prompt_id AS last FROM prompt_v${version} ORDER BY ctid DESC LIMIT 1`,
    );
    const lock = await pool.connect();
    let held = true;
    const release = async () => {
      if (held) lock.release(true);
      held = false;
    };
    t.after(release);
    await lock.query('SELECT pg_advisory_lock(99)');
    const indexing = pool.query(`CREATE INDEX slow ON prompt_v${version} (held_at(prompt_id, '${rows[0]!.last}'))`);
    const standing = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
    await until('it stands', async () => (await pool.query(standing)).rowCount === 1);

    const shares: number[] = [];
    const making = makeParts(log.pool, version, { isLive: true, onShare: (share) => shares.push(share) });
    making.catch(() => {}); // heard when it is awaited
    await until('it is told', () => shares.length > 0);
    assert.ok(shares[0]! > 0 && shares[0]! < 0.1, `${shares[0]}`);
    await release();
    await indexing;
    await making;
    assert.deepEqual(
      shares,
      shares.toSorted((a, b) => a - b),
    );
    assert.equal(shares.at(-1), 1);
  });
});
