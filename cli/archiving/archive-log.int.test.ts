/** The beginning of a log in files: what is left of it in the table, and what a replay makes of both. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { startAttempt } from '../../contracts/prompt/decide.ts';
import { submission } from '../../contracts/prompt/spec.ts';
import { evolve } from '../../contracts/prompt/state.ts';
import { armFailPoints } from '../../platform/fail-points.ts';
import { newId } from '../../platform/ids.ts';
import { findArchived } from '../../platform/postgres/archived.ts';
import { toAppend } from '../../platform/postgres/decision.ts';
import { readAll, readBounds, readHead, readStreams } from '../../platform/postgres/read.ts';
import { createArchivedEvents } from '../../projector/archived-events.ts';
import { projectBatch } from '../../projector/project-batch.ts';
import { createStore } from '../../projector/projection-store.ts';
import { promptsProjection } from '../../projector/projections/prompts/projection.ts';
import { createLog, replay, stored } from '../../testing/kit/archived-log.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { appendStrange } from '../../testing/kit/strange-event.ts';
import { rerateLog } from '../repricing/rerate-log.ts';

const t = cleanup(after);
afterEach(() => armFailPoints(() => {}));

const metadata = { correlationId: 'c', causationId: null, traceparent: null, actor: 'user:ada' };
const submitted = (over: object = {}, streamId = newId()) => ({
  streamId,
  expectedVersion: 0,
  events: [{ eventId: newId(), type: 'PromptSubmitted' as const, data: { ...submission, ...over }, metadata }],
  outbox: null,
});
describe('an archived log', () => {
  test('is replayed from files and table to the same tables, byte for byte', async () => {
    const log = await createLog(t, 60);
    const before = await log.tables(1);
    const { floor, segments, left } = await log.archive({ before: { position: 200 }, segmentEvents: 64 });
    assert.equal(floor, 199);
    assert.deepEqual(
      segments.map(({ from, to }) => [from, to]),
      [
        [1, 64],
        [65, 128],
        [129, 192],
        [193, 199],
      ],
    );
    assert.ok(left.streams > 10 && (left.kept.failed ?? 0) > 5, JSON.stringify(left));
    assert.deepEqual(await log.tables(1), before, 'what is served is as it was');
    await log.write(20);
    await log.project();
    const result = await replay(log);
    assert.deepEqual([result.outcome, result.equal], ['switched', true]);
    assert.deepEqual(await log.tables(result.version), await log.tables(1));
    // Further on, into the same folder.
    const more = await log.archive({ segmentEvents: 64 });
    assert.equal(more.segments[0]?.from, 200);
    assert.equal(more.floor, await readHead(log.pool));
    const again = await replay(log);
    assert.equal(again.equal, true);
    assert.deepEqual(await log.tables(again.version), await log.tables(result.version));
    assert.deepEqual(
      (await log.pool.query('SELECT position, as_of FROM live_projection')).rows,
      (await log.pool.query('SELECT position, recorded_at AS as_of FROM log_head')).rows,
    );
  });

  test('keeps streams that may change whole, is gapless above its floor, and goes on counting', async () => {
    const log = await createLog(t, 30);
    const before = await stored(log);
    const open = submitted();
    await log.append(open);
    await log.write(10);
    await log.project();
    const { floor } = await log.archive({ before: { position: (await readHead(log.pool)) - 9 } });
    const left = await stored(log);
    for (const streamId of new Set(left.filter(({ position }) => position <= floor).map((row) => row.stream_id))) {
      const versions = (await readStreams(log.pool, [streamId])).get(streamId)!.map(({ version }) => version);
      assert.deepEqual(
        versions,
        versions.map((_, i) => i + 1),
      );
    }
    assert.ok(left.some((row) => row.stream_id === open.streamId));
    const rows = new Map(left.map((row) => [row.position, row.row]));
    for (const { position, row } of before) assert.ok([row, undefined].includes(rows.get(position)), 'none is changed');
    assert.equal((await readAll(log.pool, floor, 1_000)).length, (await readHead(log.pool)) - floor);
    const head = await readHead(log.pool);
    const state = (await readStreams(log.pool, [open.streamId])).get(open.streamId)!;
    assert.equal(state.length, 1);
    const appended = await log.append(submitted());
    assert.equal(appended.status === 'appended' && appended.position, head + 1);
  });

  test('has every event as it was stored: digits, U+2028, emoji', async () => {
    const log = await createLog(t);
    const odd = 'line\u2028separator\u2029, \u{1F427}, "quoted\\", tab\t';
    const one = submitted({ prompt: odd });
    await log.append(one);
    await log.database.pool.query(
      `ALTER TABLE event DISABLE TRIGGER USER;
       UPDATE event SET data = data || '{"exact": 12345678901234567890.10}';
       ALTER TABLE event ENABLE TRIGGER USER`,
    );
    await log.project();
    await log.archive();
    const [segment] = readdirSync(log.dir).filter((name) => name.endsWith('.gz'));
    const text = gunzipSync(readFileSync(join(log.dir, segment!))).toString();
    assert.match(text, /12345678901234567890\.10/);
    assert.equal((JSON.parse(text) as { data: { prompt: string } }).data.prompt, odd);
    const { version } = await replay(log);
    assert.deepEqual((await log.tables(version)).prompt_text, (await log.tables(1)).prompt_text);
  });

  test('is where a projection that is new begins, and then goes on as all others do', async () => {
    const log = await createLog(t, 40);
    await log.archive({ before: { position: 120 } });
    await log.database.pool.query(
      `SELECT create_prompts_tables_v4(2, false), index_prompts_v1(2), index_prompt_texts_v1(2);
       INSERT INTO projection_version (name, version, status) VALUES ('prompts', 2, 'ready');
       INSERT INTO cursor (name, version) VALUES ('prompts', 2)`,
    );
    await assert.rejects(log.archive(), { message: /^Version 2 of prompts has not folded the log up to/ });
    await assert.rejects(log.project(2), { code: 'log_archived' });
    const archived = createArchivedEvents(log.pool, log.dir);
    const store = createStore(log.pool, promptsProjection, 2, archived);
    const step = () => projectBatch({ store, batchSize: 50, onPoison: 'stop' });
    await step();
    while ((await step()).status !== 'idle');
    await archived.close();
    assert.deepEqual(await log.tables(2), await log.tables(1));
  });

  test('says what was charged as before', async () => {
    const log = await createLog(t, 40);
    const rate = (until?: { position: number }) =>
      rerateLog({
        uri: log.database.uri,
        archiveDir: log.dir,
        repricing: { read: evolve },
        pageSize: 30,
        ...(until && { until }),
        onProgress: () => {},
      });
    const [all, part] = [await rate(), await rate({ position: 70 })];
    await log.archive({ before: { position: 120 } });
    const byName = (rated: typeof all) => ({
      ...rated,
      rows: rated.rows.map((row) => inspect(row, { depth: null })).sort(),
    });
    assert.deepEqual(byName(await rate()), byName(all));
    assert.deepEqual(byName(await rate({ position: 70 })), byName(part));
    await assert.rejects(rerateLog({ uri: log.database.uri, repricing: { read: evolve }, onProgress: () => {} }), {
      code: 'rerate_refused',
      message: /^Events up to position 119 are archived: say where/,
    });
  });

  test('is built up to a moment of the past, or a position, also below the floor', async () => {
    const log = await createLog(t, 40);
    await log.archive({ before: { position: 120 } });
    const until = async (position: number) => {
      const result = await replay(log, { until: { position } });
      assert.deepEqual([result.position, result.outcome], [position, 'kept']);
      return log.tables(result.version);
    };
    const [below, at] = [await until(50), await until(119)];
    assert.notDeepEqual(below.prompt, at.prompt);
    const { rows } = await log.pool.query<{ time: string }>('SELECT floor_recorded_at AS time FROM log_head');
    assert.ok((await replay(log, { until: { time: rows[0]!.time } })).position >= 119);
    const first = JSON.parse(readFileSync(join(log.dir, 'manifest.json'), 'utf8')).segments[0].firstRecordedAt;
    const early = await replay(log, { until: { time: first } });
    assert.ok(early.position >= 1 && early.position < 119, String(early.position));
  });
});

describe('a stream that has left the log', () => {
  test('is known: its ask repeated is a duplicate, anything else a conflict', async () => {
    const log = await createLog(t, 5);
    const row = (await log.pool.query('SELECT * FROM event WHERE version = 1 ORDER BY position LIMIT 1')).rows[0];
    await log.archive();
    assert.deepEqual(await findArchived(log.pool, row.stream_id), { userId: 'user-0', status: 'completed' });
    const again = submitted();
    again.events[0]!.eventId = row.event_id;
    const {
      streamId,
      version,
      position,
      recordedAt,
      type,
      metadata: kept,
    } = {
      streamId: row.stream_id,
      version: 1,
      position: row.position,
      recordedAt: row.recorded_at,
      type: 'PromptSubmitted',
      metadata: row.metadata,
    };
    assert.deepEqual(await log.append(again), {
      status: 'duplicate',
      streamId,
      version,
      position,
      recordedAt,
      type,
      metadata: kept,
    });
    for (const expectedVersion of [null, 0, 2, 3]) {
      const append = { ...submitted({}, row.stream_id), expectedVersion };
      assert.deepEqual(await log.append(append), { status: 'conflict', reason: 'version' });
    }
  });

  test('is deleted by nobody else', async () => {
    const log = await createLog(t, 20);
    await log.archive({ before: { position: 50 } });
    for (const statement of [
      'DELETE FROM event',
      'DELETE FROM event WHERE position <= 49',
      'DELETE FROM event WHERE position = (SELECT max(position) FROM event)',
      'TRUNCATE event',
    ]) {
      await assert.rejects(log.database.pool.query(statement), /append-only/, statement);
    }
    for (const call of ["archive_streams_v1('[]')", `raise_floor_v1(1, '${newId()}')`]) {
      await assert.rejects(log.pool.query(`SELECT ${call}`), { code: '42501' });
    }
    // By the time that this says so, the stream was appended to: what was decided on is not what is there.
    const late = submitted();
    await log.append(late);
    const { rows } = await log.database.pool.query('SELECT * FROM archive_streams_v1($1)', [
      JSON.stringify([{ s: late.streamId, v: 1, t: 'completed' }]),
    ]);
    assert.deepEqual(rows, [{ streams: 0, events: 0 }]);
  });

  test('is known to this release alone: none before it may run from then on', async () => {
    const log = await createLog(t, 5);
    const call = () => log.pool.query("SELECT * FROM append_events_v1('[]')");
    const oldest = async () => (await log.pool.query('SELECT oldest_build FROM schema_support')).rows[0].oldest_build;
    const number = readdirSync('migrations').flatMap((file) => /^(\d+)_retention\.sql$/.exec(file)?.[1] ?? []);
    await call();
    // Later migrations have raised it further.
    await log.database.pool.query('UPDATE schema_support SET oldest_build = 9');
    await log.archive();
    await assert.rejects(call(), { code: '42501' });
    assert.equal(await oldest(), Number(number));
  });

  test('was not set aside, nor has it a row in the outbox', async () => {
    const log = await createLog(t, 5);
    const { rows } = await log.pool.query<{ stream_id: string }>(
      'SELECT stream_id FROM event WHERE version = 1 ORDER BY 1',
    );
    const [aside, leased] = [rows[0]!.stream_id, rows[1]!.stream_id];
    await log.database.pool.query(
      `INSERT INTO parked_stream (name, version, stream_id, position, error) VALUES ('prompts', 1, '${aside}', 1, 'test');
       INSERT INTO outbox (prompt_id, user_id, model, lane, due_at, opened_at) VALUES ('${leased}', 'u', 'm', 1, now(), now())`,
    );
    const strange = newId();
    await appendStrange(log.database.pool, strange);
    await log.project();
    const { left } = await log.archive();
    assert.ok(left.kept.held! >= 1 && left.kept.unreadable === 1, JSON.stringify(left));
    const kept = await readStreams(log.pool, [aside, leased]);
    assert.equal(kept.size, 2);
  });
});

test('with dryRun tells what would be, and changes nothing', async () => {
  const log = await createLog(t, 20);
  const before = [await stored(log), await readBounds(log.pool)];
  const told = await log.archive({ dryRun: true });
  assert.deepEqual([await stored(log), await readBounds(log.pool), readdirSync(log.dir)], [...before, []]);
  const done = await log.archive();
  assert.deepEqual({ ...told, segments: done.segments }, done);
});

test('a claim on an outdated state is refused when its stream has left the log', async () => {
  const log = await createLog(t, 1);
  const [id] = [
    ...(
      await readStreams(
        log.pool,
        (await stored(log)).map((row) => row.stream_id),
      )
    ).keys(),
  ];
  await log.archive();
  const state = { promptId: id!, status: 'queued', attempts: [], generation: 0, version: 1 } as never;
  const decision = startAttempt(state, { token: newId(), worker: 'w' });
  assert.ok('events' in decision);
  assert.deepEqual(await log.append({ ...toAppend(state, { ...decision, outbox: null }, metadata) }), {
    status: 'conflict',
    reason: 'version',
  });
});
