/** A ledger made anew from files and table, and what is refused. */
import assert from 'node:assert/strict';
import { after, afterEach, describe, test } from 'node:test';
import { armFailPoints } from '../../platform/fail-points.ts';
import { readBounds } from '../../platform/postgres/read.ts';
import { folder } from '../../testing/kit/archived-log.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { makeLog, read, remake, SPOIL, SPOILT, tablesBeside } from '../../testing/kit/spoilt-ledger.ts';
import { postLedger } from './audit.ts';

const t = cleanup(after);
afterEach(() => armFailPoints(() => {}));

describe('of an archived log', () => {
  test('it is what it was before, byte for byte, with streams on either side of the floor', async () => {
    const log = await makeLog(t);
    const before = await read(log.pool);
    const { head } = await readBounds(log.pool);
    const floor = Math.floor(head / 2);
    await log.archive({ before: { position: floor + 1 }, segmentEvents: 60 });
    const { rows } = await log.pool.query<{ n: number }>(
      'SELECT count(*)::integer AS n FROM event WHERE position <= $1',
      [floor],
    );
    assert.ok(rows[0]!.n > 0 && rows[0]!.n < floor, 'some streams stay below the floor');
    assert.deepEqual([(await remake(log, { archiveDir: log.dir })).outcome, await read(log.pool)], ['equal', before]);
    await log.database.pool.query(SPOIL);
    const made = await remake(log, { archiveDir: log.dir });
    assert.deepEqual([made.outcome, made.entries, await read(log.pool)], ['served', SPOILT, before]);

    // All of it is archived, and it goes on.
    await log.archive();
    await log.write(10);
    await log.project();
    await postLedger(log.pool);
    const whole = await read(log.pool);
    await log.database.pool.query(SPOIL);
    assert.deepEqual([(await remake(log, { archiveDir: log.dir })).outcome, await read(log.pool)], ['served', whole]);
    // What was left before the floor rose is taken up.
    armFailPoints((name) => {
      if (name === 'rebuild.ledger_page_posted') throw new Error('crashed');
    });
    await assert.rejects(remake(log, { archiveDir: log.dir }), /crashed/);
    armFailPoints(() => {});
    await log.archive();
    assert.deepEqual([(await remake(log, { archiveDir: log.dir })).outcome, await read(log.pool)], ['equal', whole]);
    assert.equal(await tablesBeside(log), 0);
  });

  test('it is refused without its archive, with another one, and to the services’ login; nothing is changed', async () => {
    const [log, other] = [await makeLog(t, 10), await makeLog(t, 10)];
    for (const one of [log, other]) await one.archive({ before: { position: 60 } });
    const before = await read(log.pool);
    const login = `ledger_reader_${process.pid}`;
    await log.database.pool.query(`CREATE ROLE ${login} LOGIN PASSWORD 'reads'; GRANT prompt_app TO ${login}`);
    t.after(async () => void (await log.database.pool.query(`DROP ROLE ${login}`)));
    const uri = new URL(log.database.uri);
    [uri.username, uri.password] = [login, 'reads'];
    const asReader = { ...log, database: { ...log.database, uri: uri.href } };
    for (const [attempt, message] of [
      [() => remake(log), /^Events up to position 59 are archived: say where, with --archive DIR or ARCHIVE_DIR\.$/],
      [
        () => remake(log, { archiveDir: folder(t) }),
        /^There is no archive in .*; events up to 59 have left the log\.$/,
      ],
      [() => remake(log, { archiveDir: other.dir }), /is of another log: position 59 has event/],
      [
        () => remake(asReader, { archiveDir: log.dir }),
        /^This login may not post what is archived: use the one that migrates\.$/,
      ],
    ] as const) {
      await assert.rejects(attempt(), { message });
      assert.deepEqual([await read(log.pool), await tablesBeside(log)], [before, 0]);
    }
    assert.equal((await remake(log, { archiveDir: log.dir })).outcome, 'equal');
  });
});

test('a log with a hole is told, and the ledger stays as it is', async () => {
  const log = await makeLog(t, 5);
  const before = await read(log.pool);
  await log.database.pool.query(
    `ALTER TABLE event DISABLE TRIGGER USER; DELETE FROM event WHERE position = 12; ALTER TABLE event ENABLE TRIGGER USER`,
  );
  await assert.rejects(remake(log), /the log has 39 of 40 events between 0 and 40/);
  assert.equal(await read(log.pool), before);
});
