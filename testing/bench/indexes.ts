/** Indexes made at the end: one that grows row by row costs several times as much. */
import type pg from 'pg';

/** Drops all of a table, keys included; returns the statements that make them again. */
export async function dropIndexes(owner: pg.ClientBase, table: string): Promise<string[]> {
  const { rows } = await owner.query<{ name: string; definition: string; is_constraint: boolean }>(
    `SELECT i.indexrelid::regclass::text AS name, c.oid IS NOT NULL AS is_constraint,
            coalesce('ALTER TABLE ' || i.indrelid::regclass || ' ADD CONSTRAINT ' || quote_ident(c.conname) || ' '
                       || pg_get_constraintdef(c.oid),
                     -- ONLY stands there for a partitioned table, whose partitions would have none then
                     replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')) AS definition
       FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid
      WHERE i.indrelid = $1::regclass`,
    [table],
  );
  for (const { name, is_constraint } of rows)
    await owner.query(is_constraint ? `ALTER TABLE ${table} DROP CONSTRAINT ${name}` : `DROP INDEX ${name}`);
  return rows.map(({ definition }) => definition);
}
