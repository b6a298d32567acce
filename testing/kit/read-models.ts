import type pg from 'pg';

/** Every table of one version of the read models (a partitioned one as a whole), as text in a fixed order: equal when the tables are, byte for byte. */
export async function readModels(pool: pg.Pool, version: number): Promise<Record<string, string[]>> {
  const { rows: tables } = await pool.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relkind IN ('r', 'p') AND relname ~ $1 ORDER BY 1`,
    [`_v${version}$`],
  );
  const contents = tables.map(async ({ name }) => {
    const { rows } = await pool.query<{ row: string }>(`SELECT t::text AS row FROM ${name} t ORDER BY 1`);
    return [name, rows.map(({ row }) => row)] as const;
  });
  return Object.fromEntries(await Promise.all(contents));
}
