/** What the benchmark of reads loads is what the product would have made of that log, and archived of it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openArchive } from '../../../platform/archive/open-archive.ts';
import { readBounds } from '../../../platform/postgres/read.ts';
import { remakeLedger } from '../../../projector/ledger/remake.ts';
import { cleanup } from '../../kit/cleanup.ts';
import { createTestDatabase, dropDatabase } from '../../kit/database.ts';
import { required } from '../../kit/environment.ts';
import { databaseUri } from '../../kit/servers.ts';
import type { ArchiveTo } from './archive.ts';
import { asOwner, daysIn, makeBase, withPool } from './base.ts';
import { archiveByTool, differences, isPosted, notAsFolded, unequalSums } from './check.ts';
import { multiply } from './multiply.ts';

const t = cleanup(after);
const COPIES = 3;
const BASE = { users: 4, prompts: 400 };
/** Of the same log, the first one whole. */
let [uri, archivedUri] = ['', ''];
let events: number;
let indexes: unknown[];
let tool: ArchiveTo;
let generator: ArchiveTo;

const INDEXES = `SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`;
const multiplied = (of: string, archive: ArchiveTo | null) =>
  multiply({ uri: of, copies: COPIES, ...BASE, archive, tell: () => {} });

before(async () => {
  ({ uri } = await createTestDatabase(t));
  await makeBase({ uri, ...BASE, days: 10 });
  events = (await asOwner<{ position: number }>(uri, 'SELECT position FROM log_head'))[0]!.position * COPIES;
  indexes = await asOwner(uri, INDEXES);
  const folder = mkdtempSync(join(tmpdir(), 'orchestrator-multiplied-'));
  t.after(async () => rmSync(folder, { recursive: true }));
  const upTo = await daysIn(uri, 6);
  [tool, generator] = ['tool', 'generator'].map((name) => ({ dir: join(folder, name), before: upTo })) as [
    ArchiveTo,
    ArchiveTo,
  ];
  const server = required('TEST_POSTGRES_URI');
  const name = new URL(uri).pathname.slice(1);
  await asOwner(databaseUri(server, 'postgres'), `CREATE DATABASE ${name}_archived TEMPLATE ${name}`);
  t.after(async () => assert.deepEqual(await dropDatabase(server, `${name}_archived`), []));
  archivedUri = databaseUri(server, `${name}_archived`);
});

describe('a log multiplied with its read models and its ledger', () => {
  test('equals what a rebuild and a posting make of it, byte for byte', async () => {
    assert.equal(await multiplied(uri, null), events);
    const [counted] = await asOwner(
      uri,
      `SELECT count(*)::integer AS events, count(DISTINCT stream_id)::integer AS prompts,
              count(DISTINCT data ->> 'userId')::integer AS users, max(position)::integer AS last FROM event`,
    );
    assert.deepEqual(counted, {
      events,
      prompts: BASE.prompts * COPIES,
      users: BASE.users * COPIES,
      last: events,
    });
    assert.deepEqual(await notAsFolded(uri), []);
    assert.equal(await unequalSums(uri), 0);
    assert.equal(await isPosted(uri), true);
    await asOwner(uri, 'UPDATE ledger_entry SET bound_nano_usd = 7 WHERE bound_nano_usd IS NOT NULL');
    assert.equal(await isPosted(uri), false, 'an entry that is another one is noticed');
    await withPool(uri, (pool) => remakeLedger(pool, { dryRun: false, onProgress: () => {} }));
    assert.equal(await isPosted(uri), true);
  });

  test('has times that do not sink along positions, and the indexes that there were', async () => {
    const [sinking] = await asOwner<{ n: number }>(
      uri,
      `SELECT count(*)::integer AS n FROM event a JOIN event b ON b.position = a.position + 1 AND b.recorded_at < a.recorded_at`,
    );
    assert.equal(sinking!.n, 0);
    assert.deepEqual(await asOwner(uri, INDEXES), indexes);
  });
});

describe('a log multiplied with its beginning in an archive', () => {
  test('is what the tool leaves when it archives the whole one, to the last byte of its files', async () => {
    assert.equal(await multiplied(archivedUri, generator), events);
    await archiveByTool(uri, tool);
    const [left] = await asOwner<{ floor: number; streams: number; below: number }>(
      archivedUri,
      `SELECT floor::integer, (SELECT count(*) FROM archived_stream)::integer AS streams,
              (SELECT count(*) FROM event WHERE position <= floor)::integer AS below FROM log_head`,
    );
    assert.ok(left!.floor > events / 2 && left!.floor < (events * 2) / 3, JSON.stringify(left));
    assert.ok(left!.streams > BASE.prompts && left!.below > 0, JSON.stringify(left));
    assert.deepEqual(await differences({ uri: archivedUri, ...generator }, { uri, ...tool }), []);
    assert.deepEqual(await asOwner(archivedUri, INDEXES), indexes);
  });

  test('is accepted as an archive, and equals what a rebuild makes of files and table', async () => {
    await withPool(archivedUri, async (pool) => {
      const archive = await openArchive(generator.dir, await readBounds(pool));
      assert.equal((await archive.read(0, events, archive.floor)).length, archive.floor);
      await archive.close();
    });
    assert.deepEqual(await notAsFolded(archivedUri, generator.dir), []);
    assert.equal(await unequalSums(archivedUri), 0);
  });

  test('and one stream, file or floor that is another one is noticed', async () => {
    const other = { uri, dir: generator.dir };
    await asOwner(uri, `UPDATE archived_stream SET status = 'failed' WHERE position = 1`);
    await asOwner(uri, 'UPDATE log_head SET floor = floor + 1');
    assert.deepEqual(await differences({ uri: archivedUri, ...generator }, other), ['archived_stream', 'log_head']);
  });
});

test('a sum or a prompt that is another one is noticed', async () => {
  const version = (await asOwner<{ v: number }>(archivedUri, 'SELECT live_version AS v FROM projection'))[0]!.v;
  await asOwner(archivedUri, `UPDATE model_usage_v${version} SET completed = completed + 1 WHERE level = 5`);
  await asOwner(archivedUri, `UPDATE prompt_v${version} SET position = position + 1 WHERE submitted_position = 1`);
  assert.deepEqual((await notAsFolded(archivedUri, generator.dir)).toSorted(), ['model_usage', 'prompt']);
  assert.ok((await unequalSums(archivedUri)) > 0);
});
