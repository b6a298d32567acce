/** Pages of prompts of one status or model among 20,000: no more are looked for than have it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { BEGIN_BULK_PHASE } from '../../testing/kit/bulk-phase.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import type { Point } from './as-of.ts';
import type { LiveModel } from './live-model.ts';
import type { ListFilter, PageKey } from './page-bounds.ts';
import { listPrompts } from './prompt-list.ts';
import { listPromptsAt } from './prompt-list-as-of.ts';
import type { PromptReader } from './prompt-reader.ts';

const t = cleanup(after);
const PROMPTS = 20_000;
const live = { read: (run: (version: number) => Promise<unknown>) => run(1) } as unknown as LiveModel;
/** No prompt here has changed since it was submitted. */
const unchanged = { viewsAt: async () => new Map() } as unknown as PromptReader;
const anything: ListFilter = {
  userId: null,
  status: null,
  model: null,
  conversationId: null,
  words: null,
  from: null,
  to: null,
};
let database: TestDatabase;

/** The three newest are running, every hundredth before them has failed, none is queued. */
const STATUS = `CASE WHEN n > ${PROMPTS - 3} THEN 'running' WHEN n % 100 = 0 THEN 'failed' ELSE 'completed' END`;
before(async () => {
  database = await createTestDatabase(t);
  const at = `'2026-03-01'::timestamptz + n * interval '60 seconds'`;
  const counted = (status: string) => `(${STATUS} = '${status}')::integer`;
  await database.pool.query(`
    ${BEGIN_BULK_PHASE}
    INSERT INTO prompt_v1 SELECT id, 'user-' || n % 200, ${STATUS}, 'm' || n % 3, NULL, false, ${at}, n, n,
           '[1,"normal","auto",0,null,null,{},null,"' || repeat('x', 400) || '",null,null,null,0,null,[]]'
      FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, ${PROMPTS}) n) made ORDER BY n;
    INSERT INTO prompt_text_v1 (prompt_id, user_id, prompt, submitted_at)
      SELECT prompt_id, user_id, 'the sea', submitted_at FROM prompt_v1;
    INSERT INTO usage_delta_v1 SELECT date_bin('15 minutes', ${at}, '1970-01-01'), 'user-' || n % 200, 'm' || n % 3, false,
           0, ${counted('running')}, 0, ${counted('completed')}, ${counted('failed')}, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, '{}'
      FROM generate_series(1, ${PROMPTS}) n;
    SELECT merge_prompts_usage_v3(1), merge_prompts_models_v1(1), index_prompts_v1(1), index_prompt_texts_v1(1);`);
});

/** Blocks of the table of prompts and its indexes that pages read. */
async function pages(filter: Partial<ListFilter>, limit: number, point: Point | null = null) {
  let blocks = 0;
  const counting = new Proxy(database.pool, {
    get: (pool, name) => (name === 'connect' ? connect : Reflect.get(pool, name)),
  });
  const connect = async (): Promise<pg.PoolClient> => {
    const client = await database.pool.connect();
    /** Of this connection; what was read before the transaction may still be among it. */
    const fetched = async (): Promise<number> => {
      const { rows } = await client.query<{ n: number }>(
        `SELECT sum(pg_stat_get_xact_blocks_fetched(c))::integer AS n FROM (SELECT 'prompt_v1'::regclass AS c
           UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = 'prompt_v1'::regclass) s`,
      );
      return rows[0]!.n;
    };
    const query = async (...values: [string]) => {
      if (values[0] === 'COMMIT') blocks += await fetched();
      const answer = await client.query(...values);
      if (typeof values[0] === 'string' && values[0].startsWith('BEGIN')) blocks -= await fetched();
      return answer;
    };
    return { query, release: (error?: Error) => client.release(error) } as unknown as pg.PoolClient;
  };
  const sizes: number[] = [];
  const seen = new Set<string>();
  let key: PageKey | null = null;
  do {
    const [all, next] = [
      { ...anything, ...filter },
      { after: key, limit },
    ];
    const page: Awaited<ReturnType<typeof listPrompts>> = point
      ? await listPromptsAt({ pool: counting, live, reader: unchanged }, point, all, next)
      : await listPrompts(counting, live, all, next);
    sizes.push(page.data.length);
    for (const { id, status } of page.data) {
      if (filter.status !== undefined) assert.equal(status, filter.status);
      seen.add(id);
    }
    key = page.next;
  } while (key);
  return { blocks, sizes, prompts: seen.size };
}

describe('prompts of a status', () => {
  test('that none has are not looked for', async () => {
    assert.deepEqual(await pages({ status: 'queued' }, 50), { blocks: 0, sizes: [0], prompts: 0 });
    assert.deepEqual(await pages({ status: 'running', userId: 'user-7' }, 50), { blocks: 0, sizes: [0], prompts: 0 });
    assert.deepEqual(await pages({ status: 'failed', model: 'm9' }, 50), { blocks: 0, sizes: [0], prompts: 0 });
  });

  test('that few of the newest have are found, and no more is looked for', async () => {
    const { blocks, ...found } = await pages({ status: 'running' }, 50);
    assert.deepEqual(found, { sizes: [3], prompts: 3 });
    assert.ok(blocks > 0 && blocks < 60, `${blocks} blocks`);
  });

  test('come page by page, each once, to the last', async () => {
    const { blocks, ...found } = await pages({ status: 'failed' }, 80);
    assert.deepEqual(found, { sizes: [80, 80, 39], prompts: 199 });
    // One block for each, and the way to it: nothing of the ninety-nine between two of them.
    assert.ok(blocks < 450, `${blocks} blocks`);
    const ofUser = await pages({ status: 'failed', userId: 'user-100' }, 80);
    assert.deepEqual(ofUser.sizes, [80, 20]);
    const ofModel = await pages({ status: 'failed', model: 'm1', from: '2026-03-08T00:00:00Z' }, 200);
    assert.deepEqual(ofModel.sizes, [33]);
  });

  test('looking back: as many as had it then', async () => {
    const at = (position: number): Point => ({
      position,
      recordedAt: new Date(Date.parse('2026-03-01T00:00:00Z') + position * 60_000).toISOString(),
    });
    const { blocks, ...none } = await pages({ status: 'queued' }, 50, at(PROMPTS / 2));
    assert.deepEqual(none, { sizes: [0], prompts: 0 });
    // Of those submitted in the last 4,096 positions, whatever the log is.
    const { rows } = await database.pool.query("SELECT pg_relation_size('prompt_v1') / 8192 AS pages");
    assert.ok(blocks < (rows[0].pages * 4_096) / PROMPTS + 100, `${blocks} blocks of ${rows[0].pages}`);
    // Three are running now: that they were not submitted by then, the sums tell.
    const { blocks: notYet, ...later } = await pages({ status: 'running' }, 50, at(PROMPTS / 2));
    assert.deepEqual(later, { sizes: [0], prompts: 0 });
    assert.ok(notYet < (rows[0].pages * 4_096) / PROMPTS + 100, `${notYet} blocks`);
    assert.deepEqual((await pages({ status: 'running' }, 50, at(PROMPTS))).sizes, [3]);
    const { blocks: ofFailed, ...failed } = await pages({ status: 'failed' }, 80, at(PROMPTS / 2));
    assert.deepEqual(failed, { sizes: [80, 20], prompts: 100 });
    // By the index of the status: nothing of the ninety-nine between two of them.
    assert.ok(ofFailed < 2 * ((rows[0].pages * 4_096) / PROMPTS + 100) + 600, `${ofFailed} blocks`);
  });
});

describe('prompts of a model', () => {
  const none = { blocks: 0, sizes: [0], prompts: 0 };

  test('that nobody, or not this user, has used are not looked for, now or looking back', async () => {
    const then: Point = { position: PROMPTS / 2, recordedAt: '2026-03-07T22:40:00.000Z' };
    for (const point of [null, then]) {
      assert.deepEqual(await pages({ model: 'm9' }, 50, point), none);
      assert.deepEqual(await pages({ model: 'm9', userId: 'user-7' }, 50, point), none);
      assert.deepEqual(await pages({ model: 'm9', words: 'sea' }, 50, point), none);
    }
  });

  test('come page by page, each once, to the last', async () => {
    const ofUser = await pages({ model: 'm1', userId: 'user-7' }, 20);
    assert.deepEqual([ofUser.sizes, ofUser.prompts], [[20, 14], 34]);
    const recent = await pages({ model: 'm1', from: '2026-03-14T00:00:00Z' }, 200);
    assert.deepEqual([recent.sizes, recent.prompts], [[200, 200, 27], 427]);
  });
});
