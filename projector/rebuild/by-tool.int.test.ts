/** A rebuild by a tool has a row: how far it is and how it ended; what others have left in the table does not stop it. */
import assert from 'node:assert/strict';
import { getPriority } from 'node:os';
import { after, afterEach, before, describe, test } from 'node:test';
import { armFailPoints } from '../../platform/fail-points.ts';
import { newId } from '../../platform/ids.ts';
import { type ArchivedLog, createLog } from '../../testing/kit/archived-log.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { run } from '../../testing/kit/process.ts';
import { until } from '../../testing/kit/until.ts';
import { rebuildByTool, type ToolOptions } from './by-tool.ts';
import { createRebuildJobs } from './jobs.ts';
import { listVersions } from './versions.ts';

const t = cleanup(after);
afterEach(() => armFailPoints(() => {}));
let log: ArchivedLog;
before(async () => {
  log = await createLog(t, 10);
});

const silent = { info: () => {}, warn: () => {}, error: () => {} };
const replay = (over: Partial<ToolOptions> = {}) =>
  rebuildByTool({
    uri: log.database.uri,
    tool: 'npm run replay',
    dryRun: true,
    batchSize: 40,
    onProgress: () => {},
    logger: silent,
    ...over,
  });

type Row = Record<'id' | 'requested_by' | 'outcome' | 'error' | 'phase', string | null> &
  Record<'by_tool' | 'dry_run', boolean> &
  Record<'tries' | 'position' | 'target' | 'events_per_second', number>;
const rows = async () => (await log.pool.query<Row>('SELECT * FROM rebuild ORDER BY id')).rows;
const last = async () => (await rows()).at(-1)!;
/** A row that nobody does. */
async function leave(columns: { by_tool?: boolean; dry_run?: boolean; cancelled_by?: string | null }): Promise<string> {
  const id = newId();
  const { by_tool = false, dry_run = true, cancelled_by = null } = columns;
  await log.pool.query(
    `INSERT INTO rebuild (id, name, requested_by, dry_run, by_tool, cancelled_by) VALUES ($1, 'prompts', 'root', $2, $3, $4)`,
    [id, dry_run, by_tool, cancelled_by],
  );
  return id;
}

describe('a rebuild by a tool', () => {
  test('tells in its row how far it is, and how it has ended', async () => {
    const seen: Row[] = [];
    armFailPoints(async (name) => {
      if (name !== 'rebuild.folded') return;
      seen.push(await until('it was told', async () => ((await last()).phase === null ? null : last())));
    });
    assert.equal((await replay({ until: { position: 20 }, dryRun: false })).outcome, 'kept');
    assert.deepEqual(
      seen.map(({ requested_by, by_tool, outcome, tries }) => [requested_by, by_tool, outcome, tries]),
      [['npm run replay', true, null, 1]],
    );
    const row = await last();
    assert.deepEqual([row.outcome, row.error, row.dry_run], ['kept', null, false]);
  });

  test('tells how far tables are indexed and compared, in events of the log and with a rate', async () => {
    const seen: Row[] = [];
    const phases = new Map([
      ['rebuild.indexed', 'indexing'],
      ['rebuild.compared', 'comparing'],
    ]);
    armFailPoints(async (name) => {
      const phase = phases.get(name);
      if (!phase) return;
      const isDone = (row: Row) => row.phase === phase && row.position === row.target;
      seen.push(await until(`${phase} is told`, async () => (isDone(await last()) ? last() : null)));
    });
    const shares = { indexing: [] as number[], comparing: [] as number[] };
    const onProgress: ToolOptions['onProgress'] = ({ phase, position, target }) => {
      if (phase === 'indexing' || phase === 'comparing') shares[phase].push(position / target);
    };
    const { position } = await replay({ onProgress });
    assert.deepEqual(
      seen.map(({ phase, target }) => [phase, target]),
      [
        ['indexing', position],
        ['comparing', position],
      ],
    );
    assert.ok(seen.every(({ events_per_second }) => events_per_second > 0));
    for (const [phase, told] of Object.entries(shares)) {
      assert.deepEqual([told[0], told.at(-1)], [0, 1], phase);
      assert.ok(told.length > 3 && told.every((one, i) => i === 0 || one >= told[i - 1]!), `${phase}: ${told}`);
    }
  });

  test('that is refused says why to who typed it, and is no failure that others are told of', async () => {
    const before = await rows();
    await assert.rejects(replay({ until: { position: 999_999 } }), {
      code: 'rebuild_refused',
      message: /^The log ends at position/,
    });
    assert.deepEqual(await rows(), before);
  });

  test('closes what is left of one that died, or was cancelled', async () => {
    for (const [columns, outcome, error] of [
      [{ by_tool: true }, 'failed', /^broken off/],
      [{ cancelled_by: 'root' }, 'cancelled', /^cancelled by root$/],
    ] as const) {
      const id = await leave(columns);
      await replay();
      const left = (await rows()).find((row) => row.id === id)!;
      assert.equal(left.outcome, outcome);
      assert.match(left.error ?? '', error);
    }
  });

  test('does what was asked for over HTTP and nobody has begun, if it is the same', async () => {
    const id = await leave({ dry_run: true });
    const count = (await rows()).length;
    await assert.rejects(replay({ dryRun: false }), {
      code: 'rebuild_refused',
      message: 'Another rebuild, which root asked for, has not ended: let a projector do it, or cancel it.',
    });
    await assert.rejects(replay({ until: { position: 5 } }), /which root asked for, has not ended/);
    await assert.rejects(replay({ acceptDifferences: true }), /which root asked for, has not ended/);
    assert.equal((await last()).outcome, null);
    assert.equal((await replay()).outcome, 'dropped');
    const done = await last();
    assert.deepEqual([done.id, done.outcome, (await rows()).length], [id, 'dropped', count]);
  });

  test('that is killed while it folds is closed and taken up by the next one', async () => {
    const start = (...args: string[]) => run(t, ['cli/replay.ts', ...args], { POSTGRES_URI: log.database.uri });
    const { rows: before } = await log.pool.query<{ id: string }>('SELECT id FROM rebuild');
    const holder = await log.database.pool.connect();
    try {
      await holder.query('BEGIN');
      await holder.query('LOCK TABLE event IN ACCESS EXCLUSIVE MODE'); // no lane gets past it
      const killed = start();
      const reads = `SELECT FROM pg_locks WHERE relation = 'event'::regclass AND NOT granted`;
      await until('it waits for events', async () => (await log.pool.query(reads)).rowCount !== 0, 10_000);
      assert.ok(getPriority(killed.pid) > getPriority(), 'what serves on this machine goes first');
      assert.equal(await killed.end('SIGKILL'), null, killed.said());
    } finally {
      await holder.query('ROLLBACK');
      holder.release();
    }
    const left = await last();
    assert.deepEqual([left.by_tool, left.outcome, before.some(({ id }) => id === left.id)], [true, null, false]);

    const next = start();
    assert.equal(await next.exit, 0, next.said());
    const [, version] = /^version (\d+) is taken up again$/m.exec(next.said()) ?? [];
    assert.match(
      next.said(),
      new RegExp(`^Version ${version} of prompts .* equal to version \\d+, and served now`, 'm'),
    );
    const ended = (await rows()).slice(-2);
    assert.deepEqual(
      ended.map(({ id, outcome }) => [id === left.id, outcome]),
      [
        [true, 'failed'],
        [false, 'switched'],
      ],
    );
    assert.match(ended[0]!.error ?? '', /^broken off/);
  });

  test('that died is closed by a projector, which does not do it', async () => {
    const versions = await listVersions(log.pool);
    const id = await leave({ by_tool: true, dry_run: false });
    const hints = { send: () => {}, on: () => () => {}, close: async () => {} };
    const jobs = createRebuildJobs({ uri: log.database.uri, pool: log.pool, hints, logger: silent });
    jobs.start();
    const closed = await until('it is closed', async () => ((await last()).outcome === null ? null : last()));
    await jobs.stop();
    assert.deepEqual([closed.id, closed.outcome], [id, 'failed']);
    assert.deepEqual(await listVersions(log.pool), versions);
  });
});
