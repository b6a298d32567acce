/** What is not archived, and what is not replayed: said in one sentence, and nothing is changed. */
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, describe, test } from 'node:test';
import { armFailPoints } from '../../platform/fail-points.ts';
import { readAll, readBounds, readHead } from '../../platform/postgres/read.ts';
import { dropVersion, listVersions } from '../../projector/rebuild/versions.ts';
import { type ArchivedLog, createLog, folder, replay, stored } from '../../testing/kit/archived-log.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { latch } from '../../testing/kit/until.ts';

const t = cleanup(after);
afterEach(() => armFailPoints(() => {}));

describe('refused, and nothing changed:', () => {
  const refused = async (log: ArchivedLog, work: () => Promise<unknown>, message: RegExp) => {
    const before = [await stored(log), await readBounds(log.pool)];
    await assert.rejects(work(), { message });
    assert.deepEqual([await stored(log), await readBounds(log.pool)], before);
  };

  test('what is young, beyond the log, or not folded yet', async () => {
    const log = await createLog(t, 10);
    await refused(log, () => log.archive({ keepSeconds: 3_600 }), /what is younger than 60 minutes stays/);
    await refused(log, () => log.archive({ before: { position: 9_999 } }), /^The log ends at position \d+\.$/);
    await log.write(1);
    await refused(log, () => log.archive(), /^Version 1 of prompts has not folded the log up to position \d+ yet/);
  });

  test('while a rebuild is not whole, or runs, or another archive does', async () => {
    const log = await createLog(t, 30);
    for (const [version, over, said] of [
      [2, {}, /^Version 2 of prompts is not whole yet: .*"npm run replay -- --drop 2"\.$/],
      [3, { until: { position: 90 } }, /^Version 3 .* kept apart, is not whole yet: .*"npm run replay -- --drop 3"\.$/],
    ] as const) {
      armFailPoints((name) => {
        if (name === 'rebuild.page_folded') throw new Error('crashed');
      });
      await assert.rejects(replay(log, over), /crashed/);
      armFailPoints(() => {});
      await refused(log, () => log.archive(), said);
      await dropVersion(log.pool, version);
    }
    const [reached, held] = [latch(), latch()];
    armFailPoints((name) => {
      if (name !== 'archive.written') return;
      reached.release();
      return held.promise;
    });
    const first = log.archive();
    await reached.promise;
    for (const other of [() => log.archive(), () => replay(log)])
      await assert.rejects(other(), { code: 'rebuild_busy', message: /^Another rebuild, or an archive, is running/ });
    held.release();
    assert.equal((await first).floor, await readHead(log.pool));
    assert.equal((await listVersions(log.pool)).length, 1);
  });

  test('a replay without the archive, or with one that has a gap, was changed, or is of another log', async () => {
    const log = await createLog(t, 30);
    await log.archive({ before: { position: 100 }, segmentEvents: 40 });
    const manifest = join(log.dir, 'manifest.json');
    const spoilt = (what: (dir: string) => void) => {
      const dir = folder(t);
      cpSync(log.dir, dir, { recursive: true });
      what(dir);
      return () => replay(log, { archiveDir: dir });
    };
    const segments = (dir: string) =>
      readdirSync(dir)
        .filter((name) => name.endsWith('.gz'))
        .sort()
        .map((name) => join(dir, name));
    const edit = (dir: string, change: (m: { format: number; segments: unknown[] }) => void) => {
      const value = JSON.parse(readFileSync(manifest, 'utf8'));
      change(value);
      writeFileSync(join(dir, 'manifest.json'), JSON.stringify(value));
    };
    const other = await createLog(t, 30);
    await other.archive({ before: { position: 100 } });
    const cases: [work: () => Promise<unknown>, message: RegExp][] = [
      [
        () => replay(log, { archiveDir: undefined }),
        /^Events up to position 99 are archived: say where, with --archive/,
      ],
      [
        () => replay(log, { archiveDir: folder(t) }),
        /^There is no archive in .*; events up to 99 have left the log\.$/,
      ],
      [() => replay(log, { archiveDir: other.dir }), /is of another log: position 99 has event/],
      [spoilt((dir) => edit(dir, (m) => m.segments.splice(1, 1))), /has a gap: .* 41 is missing\.$/],
      [spoilt((dir) => edit(dir, (m) => m.segments.pop())), /^The archive ends at position 80 in/],
      [spoilt((dir) => edit(dir, (m) => Object.assign(m, { format: 2 }))), /has format 2, this release reads 1/],
      [spoilt((dir) => writeFileSync(join(dir, 'manifest.json'), '{')), /manifest\.json is not JSON\.$/],
      [spoilt((dir) => edit(dir, (m) => m.segments.push({}))), /is no manifest of an archive\.$/],
      [spoilt((dir) => rmSync(segments(dir)[1]!)), /is not whole: .* is missing\.$/],
      [
        spoilt((dir) => {
          const file = readFileSync(segments(dir)[1]!);
          file[200]! ^= 1;
          writeFileSync(segments(dir)[1]!, file);
        }),
        /is not as it was written: its checksum differs\.$/,
      ],
    ];
    for (const [work, message] of cases) await refused(log, work, message);
    assert.deepEqual((await listVersions(log.pool)).length, 1, 'no version is begun');
    assert.equal((await replay(log)).equal, true);
  });

  test('a folder with the archive of another log, or one that this log does not go on from', async () => {
    const [log, other] = [await createLog(t, 20), await createLog(t, 20)];
    await other.archive({ before: { position: 30 } });
    await refused(log, () => log.archive({ dir: other.dir }), /is of another log: .* ends with an event not there/);
    await log.archive({ before: { position: 40 } });
    await refused(log, () => log.archive({ dir: folder(t) }), /^There is no archive in .*; events up to 39 have left/);
    await refused(log, () => log.archive({ dir: other.dir }), /^The archive ends at position 29 in/);
  });

  test('a login that does not own the log', async () => {
    const log = await createLog(t, 5);
    const login = `archive_reader_${process.pid}`;
    await log.database.pool.query(`CREATE ROLE ${login} LOGIN PASSWORD 'reads'; GRANT prompt_app TO ${login}`);
    t.after(async () => void (await log.database.pool.query(`DROP ROLE ${login}`)));
    const uri = new URL(log.database.uri);
    [uri.username, uri.password] = [login, 'reads'];
    await refused(log, () => log.archive({ uri: uri.href }), /may not archive the log: use the one that migrates/);
  });

  test('a projection that has not reached the floor: it says so and stops', async () => {
    const log = await createLog(t, 20);
    await log.archive();
    await log.database.pool.query(`UPDATE cursor SET position = 3`);
    await assert.rejects(log.project(), {
      code: 'log_archived',
      message: /events after position 3 .* up to \d+ are archived/,
    });
    await assert.rejects(readAll(log.pool, 3, 10), { code: 'log_archived' });
  });
});
