/** Rows are put back as pg_dump puts them back: by a session that has no path, without what is generated. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { cleanup } from '../testing/kit/cleanup.ts';
import { createTestDatabase } from '../testing/kit/database.ts';
import { randomLog, writeLog } from '../testing/kit/random-log.ts';
import { projectBatch } from './project-batch.ts';
import { createProjectionStore } from './projection-store.ts';

const t = cleanup(after);
const END = Date.parse('2026-06-01T00:00:00Z');
const log = randomLog({ seed: 3, prompts: 40, users: 5, from: END - 86_400_000, to: END });

const TABLES = `SELECT c.oid::regclass::text AS name,
    (SELECT string_agg(format('%I', attname), ', ' ORDER BY attnum) FROM pg_attribute
      WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '') AS columns
  FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition ORDER BY 1`;

test('every table takes its rows back from a session without a search path', async () => {
  const { pool } = await createTestDatabase(t);
  await writeLog({ pool } as never, log);
  while ((await projectBatch({ store: createProjectionStore(pool, 1), batchSize: 100, onPoison: 'stop' })).events > 0);
  await pool.query('SELECT post_ledger_v3($1)', [log.length]);
  const client = await pool.connect();
  try {
    const { rows: tables } = await client.query<{ name: string; columns: string }>(TABLES);
    await client.query("SELECT pg_catalog.set_config('search_path', '', false)");
    const filled: string[] = [];
    for (const { name, columns } of tables) {
      await client.query(`CREATE TABLE public.taken_back (LIKE public.${name} INCLUDING ALL)`);
      const { rowCount } = await client.query(
        `INSERT INTO public.taken_back (${columns}) OVERRIDING SYSTEM VALUE SELECT ${columns} FROM public.${name}`,
      );
      const { rows } = await client.query(`SELECT count(*)::integer AS n FROM (
        (TABLE public.${name} EXCEPT TABLE public.taken_back) UNION ALL (TABLE public.taken_back EXCEPT TABLE public.${name})) d`);
      assert.deepEqual(rows, [{ n: 0 }], name);
      if (rowCount) filled.push(name);
      await client.query('DROP TABLE public.taken_back');
    }
    for (const name of ['event', 'prompt_v1', 'prompt_text_v1', 'model_usage_v1', 'model_user_v1', 'ledger_entry'])
      assert.ok(filled.includes(name), name);
  } finally {
    client.release(true);
  }
});
