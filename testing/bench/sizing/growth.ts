/** What prompts leave in the database, by table and index. */
import type { BenchEnvironment } from '../environment.ts';
import type { Growth } from './figures.ts';

type Relation = { table: string; index: string | null; rows: number; bytes: number };

/** Tables with their TOAST, and indexes; partitions as one. Rows as of the last ANALYZE. */
const RELATIONS = `
  WITH named AS (
    SELECT c.oid, coalesce(p.relname, c.relname)::text AS name, greatest(c.reltuples, 0)::float8 AS rows
      FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
     WHERE c.relkind IN ('r', 'i') AND c.relnamespace = 'public'::regnamespace)
  SELECT t.name AS table, NULL AS index, sum(t.rows) AS rows, sum(pg_table_size(t.oid))::float8 AS bytes
    FROM named t WHERE NOT EXISTS (SELECT FROM pg_index x WHERE x.indexrelid = t.oid) GROUP BY t.name
  UNION ALL
  SELECT t.name, i.name, 0, sum(pg_relation_size(i.oid))::float8
    FROM pg_index x JOIN named i ON i.oid = x.indexrelid JOIN named t ON t.oid = x.indrelid GROUP BY t.name, i.name
   ORDER BY 1, 2 NULLS FIRST`;

/** A table belongs to prompts when it has about as many rows, or more. */
const ROWS_PER_PROMPT = 0.5;

export type Sizes = Relation[];

export async function readSizes({ query }: BenchEnvironment): Promise<Sizes> {
  await query('VACUUM (ANALYZE)');
  return query<Relation>(RELATIONS);
}

/** Names that change with a version of the read models are told without it. */
const plain = (name: string): string => name.replace(/_v\d+(?=_|$)/, '');

export function growthOf(before: Sizes, after: Sizes, prompts: number): Growth {
  const empty = new Map(before.map(({ table, index, bytes }) => [`${table} ${index}`, bytes]));
  const grown = after.map((one) => ({ ...one, bytes: one.bytes - (empty.get(`${one.table} ${one.index}`) ?? 0) }));
  const tables = grown.filter(({ index }) => index === null);
  const indexesOf = (table: string) => grown.filter((one) => one.table === table && one.index !== null);
  const isOfPrompts = ({ rows }: Relation) => rows / prompts >= ROWS_PER_PROMPT;
  return {
    prompts,
    tables: tables.filter(isOfPrompts).map(({ table, rows, bytes }) => ({
      table: plain(table),
      rowsPerPrompt: rows / prompts,
      bytesPerPrompt: bytes / prompts,
      indexes: indexesOf(table).map((one) => ({ index: plain(one.index!), bytesPerPrompt: one.bytes / prompts })),
    })),
    others: tables
      .filter((one) => !isOfPrompts(one))
      .map(({ table, rows, bytes }) => ({
        table: plain(table),
        rows,
        bytes: bytes + indexesOf(table).reduce((sum, one) => sum + one.bytes, 0),
      }))
      .filter(({ bytes }) => bytes > 0),
  };
}
