/** A ledger made anew while everything reads it: what readers see is the ledger before or the ledger after, whole. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { armFailPoints, type FailPoint } from '../../platform/fail-points.ts';
import { readBounds } from '../../platform/postgres/read.ts';
import type { ArchivedLog } from '../../testing/kit/archived-log.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { appendHistory } from '../../testing/kit/histories.ts';
import { run } from '../../testing/kit/process.ts';
import { EMPTY, makeLog, read, remake, SPOIL, SPOILT, tablesBeside } from '../../testing/kit/spoilt-ledger.ts';
import { latch, until } from '../../testing/kit/until.ts';
import { auditLedger, postLedger } from './audit.ts';
import type { RemakeOptions } from './remake.ts';

const t = cleanup(after);
afterEach(() => armFailPoints(() => {}));

/** What a reader must never see otherwise: its own sums, and those of what is served. */
const SUMS = `SELECT (SELECT count(*) FROM ledger_entry) AS entries,
  (SELECT sum(confirmed_nano_usd + wasted_nano_usd) FROM ledger_account)::bigint AS paid,
  (SELECT sum(nano_usd) FROM ledger_entry WHERE state IN ('confirmed', 'wasted'))::bigint AS paid_of_entries,
  (SELECT sum(confirmed_nano_usd + wasted_nano_usd) FROM usage_v1 WHERE level = 5)::bigint AS paid_of_statistics`;
type Sums = { entries: number; paid: number; paid_of_entries: number; paid_of_statistics: number };

describe('a ledger that is made anew', () => {
  let log: ArchivedLog;
  let right: string;
  before(async () => {
    log = await makeLog(t);
  });
  beforeEach(async () => {
    await postLedger(log.pool);
    right = await read(log.pool);
  });
  afterEach(() => log.pool.query('SELECT drop_ledger_next_v1()'));

  test('is what the log gives: nothing differs, nothing is written, nothing is left', async () => {
    const phases = new Set<string>();
    const written = `SELECT xmin::text || ctid::text AS at FROM ledger_entry ORDER BY 1`;
    const before = (await log.database.pool.query(written)).rows;
    const made = await remake(log, {
      onProgress: ({ phase, position, target }) => {
        phases.add(phase);
        assert.ok(position <= target && target > 0);
      },
    });
    const { head } = await readBounds(log.pool);
    assert.deepEqual(made, {
      position: head,
      entries: 0,
      entriesNanoUsd: 0,
      accounts: 0,
      accountsNanoUsd: 0,
      largest: [],
      outcome: 'equal',
    });
    assert.deepEqual([...phases], ['posting', 'comparing']);
    assert.equal(await read(log.pool), right);
    assert.deepEqual((await log.database.pool.query(written)).rows, before);
    assert.equal(await tablesBeside(log), 0);
  });

  test('never shows fewer entries than before, nor other sums than the statistics', async () => {
    const [before] = (await log.pool.query<Sums>(SUMS)).rows;
    let running = true;
    const seen: Sums[] = [];
    const poll = async () => {
      do seen.push((await log.pool.query<Sums>(SUMS)).rows[0]!);
      while (running);
    };
    let points = 0;
    armFailPoints(async (name) => {
      if (!name.startsWith('rebuild.ledger_')) return;
      points += 1;
      seen.push((await log.pool.query<Sums>(SUMS)).rows[0]!); // between any two steps, in any case
      assert.equal((await auditLedger(log.pool))?.sums, 0);
    });
    const polls = [poll(), poll()];
    await remake(log).finally(() => {
      running = false;
    });
    await Promise.all(polls);
    assert.ok(points > 5 && seen.length > points, `${points} points, ${seen.length} reads`);
    for (const one of seen) assert.deepEqual(one, before);
    assert.equal(before!.paid, before!.paid_of_entries);
    assert.equal(before!.paid, before!.paid_of_statistics);
  });

  test('that was spoilt is told by --dry-run, and put right by the real run, which every reader sees whole', async () => {
    await log.database.pool.query(SPOIL);
    const spoilt = await read(log.pool);
    const dry = await remake(log, { dryRun: true });
    assert.deepEqual([dry.outcome, dry.entries], ['dropped', SPOILT]);
    assert.equal(await read(log.pool), spoilt);
    assert.equal(await tablesBeside(log), 0);
    const [largest] = dry.largest;
    assert.deepEqual([largest?.what, largest?.nanoUsd], ['entry', 1_000_000]);
    const [served, gives] = largest!.fields.nano_usd as [number, number];
    assert.equal(served - gives, 1_000_000);
    const nobody = dry.largest.find(({ userId }) => userId === 'nobody');
    assert.deepEqual([nobody?.what, nobody?.nanoUsd, nobody?.fields.prompts], ['account', 7, [1, null]]);
    assert.ok(dry.largest.every(({ nanoUsd }, i) => i === 0 || nanoUsd <= dry.largest[i - 1]!.nanoUsd));

    // One whose snapshot is of before and who looks at the ledger only afterwards; one who has looked already.
    const [late, early] = [await log.pool.connect(), await log.pool.connect()];
    try {
      for (const reader of [late, early]) await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      await late.query('SELECT 1 FROM cursor');
      assert.equal(await read(early), spoilt);
      const seen: [FailPoint, string][] = [];
      armFailPoints(async (name) => {
        if (name.startsWith('rebuild.ledger_')) seen.push([name, await read(log.database.pool)]);
      });
      const made = await remake(log);
      assert.deepEqual([made.outcome, made.entries, made.accounts], ['served', dry.entries, dry.accounts]);
      for (const [name, text] of seen) assert.equal(text, name === 'rebuild.ledger_served' ? right : spoilt, name);
      assert.deepEqual(
        [...new Set(seen.map(([name]) => name))],
        ['rebuild.ledger_page_posted', 'rebuild.ledger_compared', 'rebuild.ledger_written', 'rebuild.ledger_served'],
      );
      assert.equal(await read(late), spoilt);
      assert.equal(await read(early), spoilt);
    } finally {
      for (const reader of [late, early]) {
        await reader.query('ROLLBACK');
        reader.release();
      }
    }
    assert.equal(await read(log.pool), right);
    assert.equal(await tablesBeside(log), 0);
    assert.equal((await auditLedger(log.pool))?.sums, 0);
  });

  test('goes on while events come and are posted between its steps, and an audit finds nothing wrong after it', async () => {
    await log.database.pool.query(SPOIL);
    let n = 100;
    armFailPoints(async (name) => {
      if (!name.startsWith('rebuild.ledger_') || name === 'rebuild.ledger_written') return;
      n += 1;
      await appendHistory(log.append, n);
      await log.project();
      await postLedger(log.pool);
    });
    assert.equal((await remake(log)).outcome, 'served');
    armFailPoints(() => {});
    assert.equal((await auditLedger(log.pool))?.sums, 0);
    const whole = await read(log.pool);
    await log.database.pool.query(EMPTY);
    await postLedger(log.pool);
    assert.equal(await read(log.pool), whole);
    assert.ok(n > 105);
  });

  test('is not gone on from by an audit whose snapshot is of before', async () => {
    await log.database.pool.query(SPOIL);
    await appendHistory(log.append, 7);
    await log.project();
    const auditor = await log.pool.connect();
    try {
      await auditor.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      await auditor.query('SELECT 1 FROM ledger_head');
      assert.equal((await remake(log)).outcome, 'served');
      const { rows } = await log.pool.query<{ position: number }>('SELECT position FROM live_projection');
      await assert.rejects(auditor.query('SELECT post_ledger_v3($1)', [rows[0]!.position]), { code: '40001' });
    } finally {
      await auditor.query('ROLLBACK');
      auditor.release();
    }
  });

  for (const point of ['page_posted', 'compared', 'written', 'served'] as const) {
    test(`that dies at ${point} is not served by halves, and the next one comes to its end`, async () => {
      await log.database.pool.query(SPOIL);
      const spoilt = await read(log.pool);
      let reached = 0;
      armFailPoints((name) => {
        if (name !== `rebuild.ledger_${point}`) return;
        reached += 1;
        if (point !== 'page_posted' || reached === 2) throw new Error(`crashed at ${name}`);
      });
      await assert.rejects(remake(log), /crashed at/);
      armFailPoints(() => {});
      assert.equal(await read(log.pool), point === 'served' ? right : spoilt);
      assert.equal(await tablesBeside(log), 6);
      let resumed = false;
      let first = Infinity;
      const made = await remake(log, {
        onProgress: (progress) => {
          if (progress.phase !== 'posting') return;
          resumed ||= progress.resumed;
          first = Math.min(first, progress.position);
        },
      });
      assert.equal(made.outcome, point === 'served' ? 'equal' : 'served');
      assert.deepEqual([resumed, first], [true, point === 'page_posted' ? 80 : made.position]);
      assert.equal(await read(log.pool), right);
      assert.equal(await tablesBeside(log), 0);
    });
  }

  test('is begun anew where it is asked for, and where what was left was posted by other rules', async () => {
    const crash = async () => {
      armFailPoints((name) => {
        if (name === 'rebuild.ledger_compared') throw new Error('crashed');
      });
      await assert.rejects(remake(log), /crashed/);
      armFailPoints(() => {});
    };
    const begins = async (over: Partial<RemakeOptions>) => {
      let first: number | null = null;
      await remake(log, { ...over, onProgress: ({ position }) => (first ??= position) });
      return first;
    };
    await crash();
    assert.equal(await begins({ anew: true }), 0);
    await crash();
    await log.database.pool.query("UPDATE ledger_head_next SET rules = 'others'");
    assert.equal(await begins({}), 0);
    await crash(); // of the server: what is in no journal is empty then
    await log.database.pool.query(
      'TRUNCATE ledger_entry_next, ledger_account_next, ledger_head_next, ledger_entry_difference, ledger_account_difference',
    );
    assert.equal(await begins({}), 0);
    assert.equal(await read(log.pool), right);
  });

  test('is forged by no service: it may not write what is posted', async () => {
    armFailPoints((name) => {
      if (name === 'rebuild.ledger_page_posted') throw new Error('crashed');
    });
    await assert.rejects(remake(log), /crashed/);
    for (const statement of [
      "INSERT INTO ledger_event_next VALUES (1, gen_random_uuid(), 'PromptCompleted', '{}', now())",
      'UPDATE ledger_entry_next SET nano_usd = 0',
      'UPDATE ledger_head_next SET position = 0',
      "INSERT INTO ledger_account_difference VALUES ('user-1', 'm')",
    ])
      await assert.rejects(log.pool.query(statement), { code: '42501' }, statement);
    // Half made, and asked for to be served: it is brought up first.
    await log.pool.query('SELECT serve_ledger_next_v1()');
    assert.equal(await read(log.pool), right);
  });

  test('is not taken from tables of a session’s own, whatever they are named', async () => {
    const client = await log.pool.connect();
    try {
      await client.query(`
        CREATE TEMP TABLE ledger_head_next AS
          SELECT position, (SELECT md5(prosrc) FROM pg_proc WHERE proname = 'post_ledger_v3') AS rules FROM ledger_head;
        CREATE TEMP TABLE ledger_entry_next AS SELECT * FROM ledger_entry;
        CREATE TEMP TABLE ledger_account_next AS SELECT user_id, model, prompts, 0::bigint AS a, 0::bigint AS b, 0::bigint AS c,
          0::bigint AS d, 0::bigint AS e, 0::bigint AS f, 0::bigint AS g FROM ledger_account;
        CREATE TEMP TABLE ledger_entry_difference AS SELECT prompt_id, attempt FROM ledger_entry;
        CREATE TEMP TABLE ledger_account_difference AS SELECT user_id, model FROM ledger_account;
        GRANT ALL ON ALL TABLES IN SCHEMA pg_temp TO PUBLIC`);
      for (const call of ['serve_ledger_next_v1()', 'post_ledger_v3(1, true)', 'compare_ledger_next_v1(NULL, NULL)'])
        await assert.rejects(client.query(`SELECT ${call}`), { code: '42P01' }, call);
      assert.equal(await read(client), right);
      const { rows } = await client.query('SELECT begin_ledger_next_v1(false) AS position');
      assert.deepEqual(rows, [{ position: 0 }]);
    } finally {
      client.release(true); // and its tables with it
    }
  });

  test('of two at once the second is told so, and changes nothing', async () => {
    const [reached, held] = [latch(), latch()];
    armFailPoints((name) => {
      if (name !== 'rebuild.ledger_compared') return;
      reached.release();
      return held.promise;
    });
    const first = remake(log);
    await reached.promise;
    await assert.rejects(remake(log), {
      code: 'rebuild_busy',
      message: 'Another rebuild, or an archive, is running: let it end, or stop it.',
    });
    await assert.rejects(log.archive(), { code: 'rebuild_busy' });
    held.release();
    assert.equal((await first).outcome, 'equal');
  });

  test('by the tool that is killed in the middle is taken up by the next one; it tells what it has found', async () => {
    await log.database.pool.query(SPOIL);
    const spoilt = await read(log.pool);
    const tool = (...args: string[]) =>
      run(t, ['cli/replay.ts', '--projection', 'ledger', ...args], { POSTGRES_URI: log.database.uri });
    const holder = await log.database.pool.connect();
    try {
      await holder.query('BEGIN');
      await holder.query('SELECT FROM ledger_head FOR UPDATE'); // nothing is swapped past it
      const killed = tool();
      const waits = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ 'serve_ledger_next'`;
      await until('it waits to serve', async () => (await log.database.pool.query(waits)).rowCount !== 0, 20_000);
      assert.equal(await killed.end('SIGKILL'), null, killed.said());
    } finally {
      await holder.query('ROLLBACK');
      holder.release();
    }
    assert.equal(await read(log.pool), spoilt);
    const dry = tool('--dry-run');
    assert.equal(await dry.exit, 1);
    assert.match(dry.said(), /^a ledger that is half made is taken up again$/m);
    assert.match(
      dry.said(),
      /^The ledger at position \d+ DIFFERS from what the log gives in 7 entries, by \d+ nano-USD, and \d accounts, by \d+ nano-USD: nothing was changed \(--dry-run\)\.$/m,
    );
    for (const line of [
      /^ {2}entry [\w-]+\/\d+ of user-\d, gemini-2\.5-[\w-]+, by 1000000: nano_usd \d+, by the log \d+$/m,
      /^ {2}entry [\w-]+\/\d+ of user-\d, gemini-2\.5-[\w-]+, by \d+: missing, by the log state confirmed, nano_usd \d+$/m,
      /^ {2}entry 0{8}-[\w-]+\/1 of mallory, m, by 5: state reserved, nano_usd 5, by the log missing$/m,
      /^ {2}account of nobody, m, by 7: prompts 1, confirmed_nano_usd 7, by the log missing$/m,
    ])
      assert.match(dry.said(), line);
    assert.equal(await read(log.pool), spoilt);
    const real = tool();
    assert.equal(await real.exit, 0, real.said());
    assert.match(real.said(), /^posting: \d+ of \d+ events, \d+\/s, \d+ s left$/m);
    assert.match(real.said(), /^comparing: \d+ %(, \d+ s left)?$/m);
    assert.match(real.said(), /^The ledger at position \d+ is what the log gives now: put right were 7 entries/m);
    assert.match(real.said(), /^All sums of the read models agree with it\.$/m);
    assert.equal(await read(log.pool), right);
  });
});
