/** Pages of prompts with words: against a look at every row; and how much of a large table they read. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase, type TestDatabase } from '../../testing/kit/database.ts';
import { createRandom } from '../../testing/kit/random.ts';
import type { ListFilter } from './page-bounds.ts';
import { type FoundRow, searchWords } from './word-search.ts';

const t = cleanup(after);
const SEED = 20_261_127;
const NEVER = Number.MAX_SAFE_INTEGER;
const START = Date.parse('2025-01-01T00:00:00Z');
const FIRST = { submittedAt: 'infinity', id: 'ffffffff-ffff-ffff-ffff-ffffffffffff' };
const anything = {
  ...{ userId: null, status: null, model: null, conversationId: null, from: null, to: null },
} satisfies Omit<ListFilter, 'words'>;

type Made = {
  prompt_id: string;
  user_id: string;
  status: string;
  model: string;
  submitted_at: string;
  submitted_position: number;
  position: number;
  prompt: string;
  answer: string | null;
};

async function write(database: TestDatabase, rows: Made[]): Promise<void> {
  const made = `jsonb_to_recordset($1) AS r(prompt_id uuid, user_id text, status text, model text, submitted_at timestamptz,
    submitted_position bigint, position bigint, prompt text, answer text) ORDER BY submitted_position`;
  await database.pool.query(
    `INSERT INTO prompt_v1 (prompt_id, user_id, status, model, emulated, submitted_at, submitted_position, position, state)
     SELECT prompt_id, user_id, status, model, false, submitted_at, submitted_position, position, '{}' FROM ${made}`,
    [JSON.stringify(rows)],
  );
  await database.pool.query(
    `INSERT INTO prompt_text_v1 (prompt_id, user_id, prompt, answer, submitted_at)
     SELECT prompt_id, user_id, prompt, answer, submitted_at FROM ${made}`,
    [JSON.stringify(rows)],
  );
  await database.pool.query('SELECT index_prompts_v1(1), index_prompt_texts_v1(1)');
}

const idOf = (random: ReturnType<typeof createRandom>) =>
  Array.from({ length: 32 }, () => random.between(0, 15).toString(16))
    .join('')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

describe('against a look at every row', () => {
  const USERS = ['ada', `o'hara \\ & "co"`, 'grace', '𝒳'.repeat(600)];
  const rows: Made[] = [];
  let database: TestDatabase;

  before(async () => {
    database = await createTestDatabase(t);
    const random = createRandom(SEED);
    let ms = START;
    for (let n = 0; n < 3_000; n += 1) {
      // Bursts within a millisecond, minutes, and a silence of months now and then.
      ms += random.chance(0.005)
        ? random.between(0, 40 * 86_400_000)
        : random.chance(0.3)
          ? 0
          : random.between(0, 90_000);
      const words = ['often', ...(random.chance(0.1) ? ['seldom'] : []), ...(random.chance(0.01) ? ['rare'] : [])];
      if (n < 700 && random.chance(0.5)) words.push('once-upon');
      const answered = random.chance(0.5);
      rows.push({
        prompt_id: idOf(random),
        user_id: random.pick(USERS),
        status: random.chance(0.1) ? 'failed' : 'completed',
        model: random.pick(['m1', 'm2']),
        submitted_at: new Date(ms).toISOString(),
        submitted_position: n * 3,
        position: n * 3 + random.between(0, 200),
        prompt: answered ? 'what' : words.join(' '),
        answer: answered ? words.join(' ') : random.pick([null, 'no']),
      });
    }
    await write(database, rows);
  });

  const has = ({ prompt, answer }: Made, words: string) =>
    words.split(/[ -]/).every((word) => `${prompt} ${answer}`.split(/[ -]/).includes(word));

  test('finds the same, page by page, now and looking back', async () => {
    const random = createRandom(SEED + 1);
    let [pages, found] = [0, 0];
    for (let i = 0; i < 60; i += 1) {
      const words = random.pick(['often', 'seldom', 'rare', 'once-upon', 'seldom rare', 'never']);
      const position = random.chance(0.3) ? random.between(0, 9_300) : null;
      const filter = {
        ...anything,
        words,
        userId: random.chance(0.4) ? random.pick(USERS) : null,
        status: random.chance(0.3) ? 'failed' : null,
        model: random.chance(0.3) ? 'm1' : null,
        from: random.chance(0.3) ? random.pick(rows).submitted_at : null,
      };
      const expected = rows
        .filter(
          (row) =>
            has(row, words) &&
            (filter.userId === null || row.user_id === filter.userId) &&
            (filter.model === null || row.model === filter.model) &&
            (filter.from === null || row.submitted_at >= filter.from) &&
            (position === null || row.submitted_position <= position) &&
            (filter.status === null || row.status === filter.status || (position !== null && row.position > position)),
        )
        .sort((a, b) => (`${a.submitted_at} ${a.prompt_id}` < `${b.submitted_at} ${b.prompt_id}` ? 1 : -1));
      const all: FoundRow[] = [];
      const most = random.pick([3, 40, 201]);
      for (let before = FIRST; ; pages += 1) {
        const page = await searchWords(database.pool, 1, { filter, before, most, there: NEVER, position });
        all.push(...page);
        const last = page.at(-1);
        if (!last || page.length < most || all.length > 10 * most) break;
        before = { submittedAt: last.submitted_at, id: last.prompt_id };
      }
      const told = all.map(({ prompt_id, prompt, answer, changed, by_prompt }) => [
        prompt_id,
        prompt,
        answer,
        changed,
        by_prompt,
      ]);
      const wanted = expected.map((row) => {
        const changed = position !== null && row.position > position;
        return [row.prompt_id, row.prompt, row.answer, changed, !changed || has({ ...row, answer: null }, words)];
      });
      const complete = all.length <= 10 * most;
      assert.deepEqual(
        told,
        complete ? wanted : wanted.slice(0, told.length),
        JSON.stringify({ filter, position, most }),
      );
      found += told.length;
    }
    assert.ok(pages > 60 && found > 2_000, `${found} on ${pages} pages`);
  });

  test('nothing is found by marks, or without a word', async () => {
    for (const words of ['@uada', 'uada', '@', '', "''", '@4:1', '! & |']) {
      const filter = { ...anything, words };
      assert.deepEqual(
        await searchWords(database.pool, 1, { filter, before: FIRST, most: 10, there: NEVER, position: null }),
        [],
        words,
      );
    }
  });
});

describe('of 20,000 prompts, a minute each', () => {
  const PROMPTS = 20_000;
  let database: TestDatabase;
  before(async () => {
    database = await createTestDatabase(t);
    const random = createRandom(SEED);
    await write(
      database,
      Array.from({ length: PROMPTS }, (_, n) => ({
        prompt_id: idOf(random),
        user_id: `user-${n % 10}`,
        status: 'completed',
        model: 'm',
        submitted_at: new Date(START + n * 60_000).toISOString(),
        submitted_position: n,
        position: n,
        prompt: `the sea ${n % 10 < 5 ? 'waves' : ''} ${n % 20 === 7 ? 'gulls' : ''} ${n === 3 ? 'phoenix' : ''} ${'x'.repeat(300)}`,
        answer: null,
      })),
    );
    await database.pool.query(`SELECT gin_clean_pending_list('prompt_text_v1_words_idx')`);
  });

  test('no more than 512 kB of what was written last is looked through by every search', async () => {
    const { rows } = await database.pool.query(
      "SELECT reloptions FROM pg_class WHERE relname = 'prompt_text_v1_words_idx'",
    );
    assert.deepEqual(rows, [{ reloptions: ['gin_pending_list_limit=512'] }]);
  });

  /** Blocks of both tables and their indexes, and rows. */
  async function read(words: string, userId: string | null): Promise<{ blocks: number; rows: FoundRow[] }> {
    const client = await database.pool.connect();
    try {
      const fetched = async (): Promise<number> => {
        const { rows } = await client.query(`SELECT sum(pg_stat_get_xact_blocks_fetched(c))::integer AS n
          FROM (SELECT unnest('{prompt_v1,prompt_text_v1}'::regclass[]) AS c
                UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid IN ('prompt_v1'::regclass, 'prompt_text_v1'::regclass)) s`);
        return rows[0].n;
      };
      await client.query('BEGIN');
      const start = await fetched();
      const filter = { ...anything, userId, words };
      const rows = await searchWords(client, 1, { filter, before: FIRST, most: 51, there: NEVER, position: null });
      return { blocks: (await fetched()) - start, rows };
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  }

  const cases: [what: string, words: string, user: string | null, rows: number, most: number][] = [
    ['a word of all', 'sea', null, 51, 900],
    ['a word of half of them', 'waves', null, 51, 900],
    ['a word of a twentieth: not of the thousand that have it', 'gulls', null, 51, 900],
    ['a word of one', 'phoenix', null, 1, 900],
    ['a word of a twentieth, of a user who has it in half', 'gulls', 'user-7', 51, 900],
    ['a word of a twentieth, of a user who has it nowhere: none that others have', 'gulls', 'user-6', 0, 900],
  ];
  for (const [what, words, user, count, most] of cases) {
    test(`${what}: ${most} blocks at most`, async () => {
      const { blocks, rows } = await read(words, user);
      assert.equal(rows.length, count);
      assert.ok(blocks <= most, `${blocks} blocks`);
    });
  }

  test('what reads all that have a word is noticed by this test', async () => {
    const client = await database.pool.connect();
    try {
      const { rows } =
        await client.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT p.state FROM prompt_v1 p JOIN prompt_text_v1 t USING (prompt_id)
        WHERE t.words @@ plainto_tsquery('simple', 'gulls') ORDER BY p.submitted_at DESC, p.prompt_id DESC LIMIT 51`);
      const plan = rows[0]['QUERY PLAN'][0].Plan;
      assert.ok(plan['Shared Hit Blocks'] + plan['Shared Read Blocks'] > 1_000, `${JSON.stringify(plan)}`);
    } finally {
      client.release();
    }
  });
});
