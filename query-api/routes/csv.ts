/** Answers as CSV: their columns, and who gets it. */
import type { TSchema } from '@sinclair/typebox';
import { csvRow } from '../../contracts/csv.ts';

type Schema = TSchema & { type?: string; properties?: Record<string, TSchema>; anyOf?: TSchema[] };
type Column = { name: string; path: string[] };

/** One column for every plain value of the schema, named by its path: `cost.confirmed.usd` is `costConfirmedUsd`. */
export function columnsOf(schema: TSchema, path: string[] = []): Column[] {
  const { properties } = schema as Schema;
  if (properties) return Object.entries(properties).flatMap(([name, inner]) => columnsOf(inner, [...path, name]));
  const [first = '', ...rest] = path;
  return [{ name: first + rest.map((part) => part[0]!.toUpperCase() + part.slice(1)).join(''), path }];
}

export const toCsv = (columns: Column[], rows: object[]): string =>
  [columns.map(({ name }) => name), ...rows.map((row) => columns.map(({ path }) => valueAt(row, path)))]
    .map(csvRow)
    .join('');

const valueAt = (row: object, path: string[]): unknown =>
  path.reduce<unknown>((value, name) => (value as Record<string, unknown> | null | undefined)?.[name], row);

/** `format` says it; else CSV only for who asks for it rather than for JSON. */
export function wantsCsv(format: 'json' | 'csv' | undefined, accept: string | undefined): boolean {
  if (format !== undefined) return format === 'csv';
  const ranges = (accept ?? '*/*').split(',').map((range) => {
    const [type = '', ...parameters] = range
      .toLowerCase()
      .split(';')
      .map((part) => part.trim());
    const q = parameters.find((parameter) => parameter.startsWith('q='));
    return { type, q: q === undefined ? 1 : Number(q.slice(2)) };
  });
  const named = (type: string) => ranges.find((range) => range.type === type)?.q;
  const csv = named('text/csv');
  if (csv === undefined || !(csv > 0)) return false;
  const json = named('application/json');
  return json === undefined ? csv >= (named('application/*') ?? named('*/*') ?? 0) : csv > json;
}
