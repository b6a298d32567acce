/** A stream that is set aside and replayed ends as if nothing had ever been wrong, whoever dies or comes second. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type pg from 'pg';
import type { RecordedEvent } from '../../contracts/envelope.ts';
import type { PromptState } from '../../contracts/prompt/state.ts';
import { armFailPoints } from '../../platform/fail-points.ts';
import { createAppender } from '../../platform/postgres/appender.ts';
import { countParked, findParked, listParked } from '../../platform/postgres/parked.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { appendHistory } from '../../testing/kit/histories.ts';
import { readLog, type StoredEvent, writeLog } from '../../testing/kit/log-copy.ts';
import { readModels } from '../../testing/kit/read-models.ts';
import { barrier } from '../../testing/kit/until.ts';
import { projectBatch } from '../project-batch.ts';
import type { Projection } from '../projection.ts';
import { createStore, type ProjectionStore } from '../projection-store.ts';
import type { BatchRows } from '../projections/prompts/fold-batch.ts';
import { promptsProjection } from '../projections/prompts/projection.ts';
import { rebuild } from '../rebuild/rebuild.ts';
import { ReplayRefusedError, replayParked } from './replay-parked.ts';

type Prompts = Projection<PromptState, BatchRows>;
const t = cleanup(after);
let log: StoredEvent[];
/** The tables as they are when no event was ever poison. */
let unharmed: Record<string, string[]>;
let database: TestDatabase;
let pool: pg.Pool;
let each: (() => Promise<void>)[];

const open = (uri: string) => createPool({ uri, name: 'parking', max: 8, onError: () => {} });

before(async () => {
  const source = await createTestDatabase(t);
  const its = open(source.uri);
  t.after(() => its.end());
  const appender = createAppender({ pool: its, queueLimit: 10_000 });
  await Promise.all(Array.from({ length: 40 }, (_, i) => appendHistory(appender.append, i)));
  await appender.stop();
  log = await readLog(source.pool);
  await foldAll(createStore(its, promptsProjection, 1));
  unharmed = await readModels(source.pool, 1);
  assert.ok(Object.values(unharmed).every((rows) => rows.length > 0));
});
beforeEach(async () => {
  each = [];
  const own = cleanup((release) => each.push(release));
  database = await createTestDatabase(own);
  pool = open(database.uri);
  own.after(() => pool.end());
  await writeLog(database.pool, log);
});
afterEach(async () => {
  armFailPoints(() => {});
  for (const release of each) await release();
});

/** The projection as a release with a fault has it. */
const faulty = (isBad: (event: RecordedEvent) => boolean): Prompts => ({
  ...promptsProjection,
  fold: (states, events) => {
    const bad = events.find(isBad);
    if (bad) throw new TypeError(`cannot read ${bad.type}`);
    return promptsProjection.fold(states, events);
  },
});
const known = (projection: Prompts) => new Map([['prompts', projection as unknown as Projection<unknown, unknown>]]);
const replay = (streamId: string, projection: Prompts = promptsProjection) =>
  replayParked(pool, { projection: 'prompts', version: 1, streamId }, known(projection));

async function foldAll(store: ProjectionStore, upTo?: number): Promise<void> {
  const options = { store, batchSize: 50, onPoison: 'park' as const, ...(upTo !== undefined && { upTo }) };
  while ((await projectBatch(options)).status !== 'idle');
}
/** Folded by a release that cannot read the second event of the streams, up to a position. */
const foldFaulty = (streams: string[], upTo?: number) =>
  foldAll(
    createStore(
      pool,
      faulty(({ streamId, version }) => streams.includes(streamId) && version === 2),
      1,
    ),
    upTo,
  );

const eventsOf = (streamId: string) => log.filter((event) => event.stream_id === streamId);
/** Streams with five events or more: much waits behind their second. */
const longStreams = (): string[] =>
  [...new Set(log.map((event) => event.stream_id))].filter((id) => eventsOf(id).length >= 5);

async function assertUnharmed(): Promise<void> {
  assert.deepEqual(await readModels(database.pool, 1), unharmed);
  assert.deepEqual((await listParked(pool, { after: null, limit: 10 })).data, []);
}

describe('a poison event', () => {
  test('holds up its own stream alone; what waits is listed with its error, and counted', async () => {
    const [bad] = longStreams();
    await foldFaulty([bad!]);
    const { data, next } = await listParked(pool, { after: null, limit: 10 });
    const { position, type } = eventsOf(bad!)[1]!;
    const { parkedAt, ...row } = data[0]!;
    assert.deepEqual(row, {
      projection: 'prompts',
      version: 1,
      streamId: bad,
      position,
      type,
      schemaVersion: 1,
      error: `event ${position} of stream ${bad}: cannot read ${type}`,
      waiting: eventsOf(bad!).length - 2,
    });
    assert.ok(!Number.isNaN(Date.parse(parkedAt)));
    assert.deepEqual([data.length, next, await countParked(pool)], [1, null, new Map([['prompts', 1]])]);
    const { prompt_v1: rows } = await readModels(database.pool, 1);
    const others = (all: string[]) => all.filter((text) => !text.includes(bad!));
    assert.deepEqual(others(rows!), others(unharmed['prompt_v1']!));
    // Of the stream itself, what came before is folded and nothing after it.
    assert.ok(rows!.some((text) => text.includes(bad!) && text.includes('queued')));
  });

  test('is listed in pages, each stream once', async () => {
    const streams = longStreams().slice(0, 7);
    await foldFaulty(streams);
    const seen: string[] = [];
    for (let after: Awaited<ReturnType<typeof listParked>>['next'] = null; ; ) {
      const page = await listParked(pool, { after, limit: 3 });
      seen.push(...page.data.map(({ streamId }) => streamId));
      after = page.next;
      if (!after) break;
    }
    assert.deepEqual(seen, streams.toSorted());
  });
});

describe('a replay after the fix', () => {
  test('gives the same tables, byte for byte, as if nothing had been wrong', async () => {
    const streams = longStreams().slice(0, 3);
    await foldFaulty(streams);
    for (const id of streams) {
      assert.deepEqual(await replay(id), { events: eventsOf(id).length - 1, stopped: null });
    }
    await assertUnharmed();
  });

  test('wherever in the log the projector is: it leaves what comes later to the projector', async () => {
    const [bad] = longStreams();
    const positions = eventsOf(bad!).map(({ position }) => position);
    await foldFaulty([bad!], positions[2]!);
    assert.deepEqual(await replay(bad!), { events: 2, stopped: null });
    await foldAll(createStore(pool, promptsProjection, 1));
    await assertUnharmed();
  });

  test('whose user comes later by it is equal to a rebuild all the same', async () => {
    const [first] = log as [StoredEvent];
    const bad = faulty(({ streamId, version }) => streamId === first.stream_id && version === 1);
    await foldAll(createStore(pool, bad, 1));
    await replay(first.stream_id);
    const { equal, differing } = await rebuild({ uri: database.uri, dryRun: true, onProgress: () => {} });
    assert.deepEqual([equal, differing], [true, []]);
  });

  test('that is none stops at the same event, with the new error', async () => {
    const [bad] = longStreams();
    await foldFaulty([bad!]);
    const still = faulty(({ streamId, version }) => streamId === bad && version >= 2);
    const { events, stopped } = await replay(bad!, still);
    assert.deepEqual([events, stopped?.position], [0, eventsOf(bad!)[1]!.position]);
  });

  test('that meets another poison event keeps what is before it, and waits there', async () => {
    const [bad] = longStreams();
    await foldFaulty([bad!]);
    const other = faulty(({ streamId, version }) => streamId === bad && version === 4);
    const { events, stopped } = await replay(bad!, other);
    const { position, type } = eventsOf(bad!)[3]!;
    assert.deepEqual([events, stopped?.position], [2, position]);
    const [row] = await findParked(pool, bad!);
    assert.deepEqual(
      [row?.position, row?.error],
      [position, `event ${position} of stream ${bad}: cannot read ${type}`],
    );
    assert.equal((await replay(bad!)).stopped, null);
    await assertUnharmed();
  });

  test('is refused when this build has no such projection', async () => {
    const there = { projection: 'orders', version: 1, streamId: log[0]!.stream_id };
    await assert.rejects(replayParked(pool, there), (error: unknown) => {
      assert.ok(error instanceof ReplayRefusedError);
      assert.match(error.message, /no projection orders/);
      return true;
    });
  });
});

describe('a replay that dies', () => {
  for (const point of ['projector.folded', 'projector.written', 'projector.committed'] as const) {
    test(`at ${point}, again and again, folds every event once`, async () => {
      const [bad] = longStreams();
      await foldFaulty([bad!]);
      let budget = 0;
      armFailPoints((name) => {
        if (name === point && budget-- <= 0) throw new Error(`fail point ${name}`);
      });
      // Halved by a poison event at the end, so that it commits in several steps; each try gets one step farther.
      const last = eventsOf(bad!).length;
      const halved = faulty(({ streamId, version }) => streamId === bad && version === last);
      for (const reached of point === 'projector.committed' ? [0, 0] : [0, 1]) {
        budget = reached;
        await assert.rejects(replay(bad!, halved), new RegExp(`fail point ${point}`));
      }
      armFailPoints(() => {});
      assert.equal((await replay(bad!)).stopped, null);
      await assertUnharmed();
    });
  }

  test('with its connection leaves the stream aside, and the next one ends', async () => {
    const [bad] = longStreams();
    await foldFaulty([bad!]);
    armFailPoints(async (name) => {
      if (name !== 'projector.written') return;
      await database.pool.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE application_name = 'parking' AND state = 'idle in transaction' AND datname = current_database()`,
      );
    });
    await assert.rejects(replay(bad!));
    armFailPoints(() => {});
    assert.equal((await findParked(pool, bad!)).length, 1);
    assert.equal((await replay(bad!)).stopped, null);
    await assertUnharmed();
  });
});

describe('a replay that is not alone', () => {
  test('by several operators at once folds every event once', async () => {
    const streams = longStreams().slice(0, 4);
    await foldFaulty(streams);
    const operator = async () => {
      let events = 0;
      for (const id of streams) events += (await replay(id)).events;
      return events;
    };
    const counts = await Promise.all([operator(), operator(), operator()]);
    assert.equal(
      counts.reduce((sum, n) => sum + n, 0),
      streams.reduce((sum, id) => sum + eventsOf(id).length - 1, 0),
    );
    await assertUnharmed();
  });

  test('that has read what another one folds meanwhile writes nothing', async () => {
    const [bad] = longStreams();
    await foldFaulty([bad!]);
    const both = barrier(2);
    armFailPoints((name) => (name === 'projector.folded' ? both() : undefined));
    const outcomes = await Promise.all([replay(bad!), replay(bad!)]);
    assert.deepEqual(outcomes.map(({ events }) => events).sort(), [0, eventsOf(bad!).length - 1]);
    await assertUnharmed();
  });

  test('while projectors go on: nothing is passed over and nothing folded twice', async () => {
    const streams = longStreams().slice(0, 4);
    await foldFaulty(streams, Math.floor(log.length / 2));
    const store = createStore(pool, promptsProjection, 1);
    const runner = async () => {
      for (let idle = 0; idle < 3; ) {
        const { status } = await projectBatch({ store, batchSize: 3, onPoison: 'park' });
        idle = status === 'idle' ? idle + 1 : 0;
      }
    };
    const operator = async () => {
      for (const { streamId } of (await listParked(pool, { after: null, limit: 10 })).data) await replay(streamId);
    };
    await Promise.all([runner(), runner(), operator(), operator()]);
    await assertUnharmed();
  });

  test('between a projector’s look and its write makes that step anew', async () => {
    const [bad] = longStreams();
    const [, , third] = eventsOf(bad!);
    await foldFaulty([bad!], third!.position - 1);
    const real = createStore(pool, promptsProjection, 1);
    let asides: string[] = [];
    const step = await projectBatch({
      store: {
        ...real,
        write: async (written) => {
          asides = written.aside;
          await replay(bad!);
          return real.write(written);
        },
      },
      batchSize: 1,
      onPoison: 'park',
    });
    assert.deepEqual([asides, step.status], [[bad], 'behind']);
    await foldAll(real);
    await assertUnharmed();
  });
});
