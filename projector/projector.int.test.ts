import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { newId } from '../platform/ids.ts';
import { createAppender } from '../platform/postgres/appender.ts';
import { createPool } from '../platform/postgres/pool.ts';
import { createTestDatabase, type TestDatabase } from '../testing/kit/database.ts';
import { appendHistory } from '../testing/kit/histories.ts';
import { readModels } from '../testing/kit/read-models.ts';
import { appendStrange } from '../testing/kit/strange-event.ts';
import { projectBatch } from './project-batch.ts';
import { createProjectionStore, readCursor } from './projection-store.ts';
import { rebuild } from './rebuild/rebuild.ts';

const releases: (() => Promise<void>)[] = [];
let database: TestDatabase;
let pool: pg.Pool;
before(async () => {
  database = await createTestDatabase({ after: (fn) => releases.unshift(fn) });
  pool = createPool({ uri: database.uri, name: 'projector-test', max: 6, onError: () => undefined });
  releases.unshift(() => pool.end());
  const appender = createAppender({ pool, queueLimit: 10_000 });
  await Promise.all(Array.from({ length: 60 }, (_, i) => appendHistory(appender.append, i)));
  await appender.stop();
});
after(async () => {
  for (const release of releases) await release();
});

const contents = async (version: number): Promise<string[]> =>
  Object.values(await readModels(database.pool, version)).map((rows) => rows.join('\n'));

async function foldAll(version: number, size: () => number): Promise<void> {
  for (;;) {
    const { status } = await projectBatch({
      store: createProjectionStore(pool, version),
      batchSize: size(),
      onPoison: 'stop',
    });
    if (status === 'idle') return;
  }
}

async function addVersion(version: number): Promise<void> {
  await database.pool.query('SELECT create_prompts_tables_v4($1, false)', [version]);
  await database.pool.query(
    `INSERT INTO projection_version (name, version, status, frozen) VALUES ('prompts', $1, 'building', true)`,
    [version],
  );
  await database.pool.query(`INSERT INTO cursor (name, version) VALUES ('prompts', $1)`, [version]);
}

describe('the prompts projection', () => {
  test('gives the same tables, byte for byte, for any size of batch', async () => {
    await foldAll(1, () => 1);
    const one = await contents(1);
    assert.ok(one.every((table) => table.length > 0));
    await addVersion(902);
    await foldAll(902, () => 1_000);
    assert.deepEqual(await contents(902), one);
    await addVersion(903);
    let n = 0;
    await foldAll(903, () => {
      n += 7;
      return 1 + (n % 13);
    });
    assert.deepEqual(await contents(903), one);
  });

  test('is not changed by a second runner: the cursor’s compare-and-set lets one of two through', async () => {
    await addVersion(904);
    const runner = async () => {
      for (let idle = 0; idle < 2; ) {
        const { status } = await projectBatch({
          store: createProjectionStore(pool, 904),
          batchSize: 5,
          onPoison: 'stop',
        });
        idle = status === 'idle' ? idle + 1 : 0;
      }
    };
    await Promise.all([runner(), runner(), runner()]);
    assert.deepEqual(await contents(904), await contents(1));
  });

  test('is whole again after its connection was cut in the middle', async () => {
    await addVersion(905);
    let cuts = 0;
    for (let done = false; !done; ) {
      // A cut step rejects, and is made again; its error is heard at once, not after the query below.
      const step = projectBatch({ store: createProjectionStore(pool, 905), batchSize: 4, onPoison: 'stop' }).then(
        ({ status }) => status === 'idle',
        () => false,
      );
      if (cuts < 10) {
        cuts += 1;
        await database.pool.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'projector-test' AND state <> 'idle'`,
        );
      }
      done = await step;
    }
    assert.deepEqual(await contents(905), await contents(1));
  });
});

describe('a rebuild', () => {
  const progress = { onProgress: () => undefined };

  test('with --dry-run changes nothing', async () => {
    const outcome = await rebuild({ uri: database.uri, dryRun: true, ...progress });
    assert.deepEqual([outcome.outcome, outcome.equal], ['dropped', true]);
    const { rows } = await database.pool.query('SELECT version FROM live_projection');
    assert.deepEqual(rows, [{ version: 1 }]);
  });

  test('switches to an equal version, and one that differs is dropped', async () => {
    await database.pool.query(
      `UPDATE prompt_v1 SET status = CASE status WHEN 'failed' THEN 'expired' ELSE 'failed' END WHERE prompt_id = (SELECT min(prompt_id::text)::uuid FROM prompt_v1)`,
    );
    const differs = await rebuild({ uri: database.uri, dryRun: false, ...progress });
    assert.deepEqual([differs.outcome, differs.equal], ['dropped', false]);
    await repairTotals();
    const equal = await rebuild({ uri: database.uri, dryRun: false, ...progress });
    assert.deepEqual([equal.outcome, equal.equal, equal.version], ['switched', true, 4]);
  });

  test('beyond the end of the log is refused', async () => {
    await assert.rejects(
      rebuild({ uri: database.uri, dryRun: true, until: { position: 1e9 }, ...progress }),
      /log ends/,
    );
  });

  /** Folds version 1 anew, whatever the tests before did to it. */
  async function repairTotals(): Promise<void> {
    const truncate = Object.keys(await readModels(database.pool, 1)).join(', ');
    await database.pool.query(`TRUNCATE ${truncate}`);
    await database.pool.query(`UPDATE cursor SET position = 0 WHERE version = 1`);
    await foldAll(1, () => 500);
  }
});

test('a stream with an event nobody knows is set aside, all others flow', async () => {
  const streamId = newId();
  const { rows } = await database.pool.query<{ version: number }>('SELECT version FROM live_projection');
  const version = rows[0]!.version;
  const appender = createAppender({ pool, queueLimit: 100 });
  await appendStrange(database.pool, streamId);
  await appendHistory(appender.append, 99);
  await appender.stop();
  const before = await readCursor(pool, version);
  const parked: string[] = [];
  for (;;) {
    const { status } = await projectBatch({
      store: createProjectionStore(pool, version),
      batchSize: 100,
      onPoison: 'park',
      onParked: (error) => parked.push(error.streamId),
    });
    if (status === 'idle') break;
  }
  assert.deepEqual(parked, [streamId]);
  assert.ok((await readCursor(pool, version)) > before + 2);
  const aside = await database.pool.query('SELECT stream_id, position FROM parked_stream');
  assert.deepEqual(aside.rows, [{ stream_id: streamId, position: before + 1 }]);
});
