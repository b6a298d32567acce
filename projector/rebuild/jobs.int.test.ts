/** Rebuilds as jobs: done by one of several projectors, taken up after a kill or a stop, closed when they cannot be done. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { armFailPoints } from '../../platform/fail-points.ts';
import { newId } from '../../platform/ids.ts';
import { createAppender } from '../../platform/postgres/appender.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import type { HintBus } from '../../platform/redis/hints.ts';
import type { Order } from '../../testing/faults/arm.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { inherited } from '../../testing/kit/environment.ts';
import { appendHistory } from '../../testing/kit/histories.ts';
import { createTestRedis, type TestRedis } from '../../testing/kit/redis.ts';
import { latch, until } from '../../testing/kit/until.ts';
import { projectBatch } from '../project-batch.ts';
import { createProjectionStore } from '../projection-store.ts';
import { createRebuildJobs } from './jobs.ts';
import { readLastOutcome } from './last-outcome.ts';

const t = cleanup(after);
const ROOT = join(import.meta.dirname, '../..');
let database: TestDatabase;
let redis: TestRedis;
let pool: pg.Pool;
before(async () => {
  database = await createTestDatabase(t);
  redis = await createTestRedis(t);
  pool = createPool({ uri: database.uri, name: 'jobs', max: 6, onError: () => {} });
  t.after(() => pool.end());
  const appender = createAppender({ pool, queueLimit: 10_000 });
  // Some pages of them.
  await Promise.all(Array.from({ length: 300 }, (_, i) => appendHistory(appender.append, i)));
  await appender.stop();
  const store = createProjectionStore(pool, 1);
  while ((await projectBatch({ store, batchSize: 500, onPoison: 'stop' })).status !== 'idle');
});
after(() => armFailPoints(() => {}));

type Row = {
  tries: number;
  version: number | null;
  outcome: string | null;
  error: string | null;
  position: number | null;
};
const requested = async (dryRun = false): Promise<string> => {
  const id = newId();
  const text = `INSERT INTO rebuild (id, name, requested_by, dry_run) VALUES ($1, 'prompts', 'root', $2)`;
  await pool.query(text, [id, dryRun]);
  return id;
};
const row = async (id: string): Promise<Row> =>
  (await pool.query<Row>('SELECT * FROM rebuild WHERE id = $1', [id])).rows[0]!;
const ended = (id: string) =>
  until(`rebuild ${id} has ended`, async () => {
    const found = await row(id);
    return found.outcome === null ? null : found;
  });
const served = async () =>
  (await pool.query<{ version: number }>('SELECT live_version AS version FROM projection')).rows[0]!.version;

const hints: HintBus = { send: () => {}, on: () => () => {}, close: async () => {} };

/** What a projector does of rebuilds, in this process. */
function startJobs() {
  const said: string[] = [];
  const say = (_fields: object, message: string) => said.push(message);
  const jobs = createRebuildJobs({ uri: database.uri, pool, hints, logger: { info: say, warn: say, error: say } });
  jobs.start();
  return { said, stop: jobs.stop };
}

describe('a job', () => {
  test('that a stopping projector leaves stays open, and the next one takes it up where it was', async () => {
    const [reached, held] = [latch(), latch()];
    armFailPoints((name) => {
      if (name !== 'rebuild.page_folded') return;
      reached.release();
      return held.promise;
    });
    const id = await requested();
    const first = startJobs();
    await reached.promise;
    const left = await until('it is told', async () => {
      const found = await row(id);
      return found.version === null ? null : found;
    });
    const stopped = first.stop();
    held.release();
    await stopped;
    assert.equal((await row(id)).outcome, null);
    armFailPoints(() => {});
    const second = startJobs();
    const done = await ended(id);
    await second.stop();
    assert.deepEqual([done.outcome, done.version, done.tries], ['switched', left.version, 2]);
    assert.equal(await served(), left.version);
  });

  test('is done by one of two projectors', async () => {
    const both = [startJobs(), startJobs()];
    const done = await ended(await requested(true));
    await Promise.all(both.map(({ stop }) => stop()));
    assert.deepEqual([done.outcome, done.tries], ['dropped', 1]);
    assert.equal(both.flatMap(({ said }) => said).filter((one) => one === 'rebuild: begun').length, 1);
  });

  test('whose connections break is begun again by the same projector', async () => {
    let cut = false;
    armFailPoints(async (name) => {
      if (name !== 'rebuild.page_folded' || cut) return;
      cut = true;
      await database.pool.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rebuild'`,
      );
    });
    const jobs = startJobs();
    const done = await ended(await requested());
    await jobs.stop();
    armFailPoints(() => {});
    assert.deepEqual([done.outcome, done.tries], ['switched', 2]);
    assert.ok(jobs.said.includes('rebuild: broken off, it is taken up again'));
  });

  test('whose process dies just after the switch is not done twice', async () => {
    armFailPoints((name) => {
      if (name === 'rebuild.switched') throw Object.assign(new Error(name), { code: 'ECONNRESET' });
    });
    const jobs = startJobs();
    const done = await ended(await requested());
    await jobs.stop();
    armFailPoints(() => {});
    assert.deepEqual([done.outcome, done.version, done.tries], ['switched', await served(), 2]);
  });

  test('that cannot be done is told and closed, and what is served stays', async () => {
    const before = await served();
    armFailPoints((name) => {
      if (name === 'rebuild.folded') throw new Error('no such thing');
    });
    const jobs = startJobs();
    const done = await ended(await requested());
    await jobs.stop();
    armFailPoints(() => {});
    assert.deepEqual([done.outcome, done.error], ['failed', 'no such thing']);
    assert.equal(await served(), before);
    assert.ok(jobs.said.includes('rebuild: failed, what is served stays as it is'));
    // Of all processes: what failed in one is over when another one has done it.
    assert.equal(await readLastOutcome(pool), 'failed');
    const others = startJobs();
    await ended(await requested(true));
    await others.stop();
    assert.equal(await readLastOutcome(pool), 'dropped');
  });
});

describe('a projector that is killed in the middle of a rebuild', () => {
  function projector(): { child: ChildProcess; said: () => string } {
    const modules = ['./platform/telemetry/preload.ts', './testing/faults/arm.ts'];
    const child = spawn(process.execPath, [...modules.flatMap((one) => ['--import', one]), 'projector/main.ts'], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: {
        ...inherited(),
        POSTGRES_URI: database.uri,
        REDIS_URI: redis.uri,
        HOST: '127.0.0.1',
        ADMIN_PORT: '0',
      },
    });
    let said = '';
    for (const output of [child.stdout!, child.stderr!]) {
      output.on('data', (piece) => {
        said += piece;
      });
    }
    t.after(async () => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
    });
    return { child, said: () => said };
  }

  test('leaves its job to the next one, which goes on from the last page and serves the same version', async () => {
    // What the failed job has left is whole: it would be taken up with nothing more to fold.
    await pool.query(`SELECT drop_projection_version_v2(v.name, v.version)
      FROM projection_version v JOIN projection p USING (name) WHERE v.version <> p.live_version`);
    const [one, two] = [projector(), projector()];
    await until('both are ready', () => [one, two].every(({ said }) => said().includes('projector is ready')), 60_000);
    const order: Order = { arm: 'rebuild.page_folded', action: 'kill', nth: 2 };
    const reached = [one, two].map(
      (each) =>
        new Promise<typeof one>((resolve) => {
          // A stall of its event loop is told too.
          each.child.on('message', (message: object) => {
            if ('reached' in message) resolve(each);
          });
        }),
    );
    for (const { child } of [one, two]) child.send(order);
    const id = await requested();
    const killed = await Promise.race(reached);
    const other = killed === one ? two : one;
    other.child.send({ disarm: true } satisfies Order);
    if (killed.child.signalCode === null) await once(killed.child, 'exit');
    assert.equal(killed.child.signalCode, 'SIGKILL');
    const left = (
      await pool.query<{ version: number; events: number }>(
        `SELECT version, sum(events)::bigint AS events FROM cursor WHERE lane > 0 GROUP BY version`,
      )
    ).rows[0]!;
    assert.ok(left.events >= 500, `${left.events}`);
    const done = await until(
      'it has ended',
      async () => {
        const found = await row(id);
        return found.outcome === null ? null : found;
      },
      60_000,
    );
    assert.deepEqual([done.outcome, done.version, done.tries, done.error], ['switched', left.version, 2, null]);
    assert.equal(await served(), left.version);
    const metrics = await (
      await fetch(`http://127.0.0.1:${/"adminPort":(\d+)/.exec(other.said())![1]}/metrics`)
    ).text();
    assert.match(metrics, /^rebuild_last_outcome\{[^}]*outcome="switched"[^}]*\} 1$/m);
    assert.match(metrics, /^rebuild_last_outcome\{[^}]*outcome="failed"[^}]*\} 0$/m);
    other.child.kill('SIGTERM');
    const [code] = await once(other.child, 'exit');
    assert.equal(code, 0);
  });
});
