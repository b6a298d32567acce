/** Pages of prompts as they were at a position: those changed since are folded from the log up to it. */
import type pg from 'pg';
import type { Prompt } from '../../contracts/http/queries.ts';
import { inTransaction } from '../../platform/postgres/transaction.ts';
import { versionedSql } from '../../platform/postgres/versioned-sql.ts';
import type { Point } from './as-of.ts';
import type { LiveModel } from './live-model.ts';
import { boundsOf, type ListFilter, type PageKey, upperBound } from './page-bounds.ts';
import { boundedSnapshot, countMatching, isBounded } from './prompt-list.ts';
import { type PromptReader, type PromptRow, toView } from './prompt-reader.ts';
import type { ReadPool } from './reads.ts';
import { BY_USER, floorTo, OF_ALL, QUARTER_MS, segmentsJson, segmentsOf } from './segments.ts';
import { searchWords } from './word-search.ts';

const LIST = versionedSql(import.meta.url, '../sql/list-as-of.sql');
const LIST_OF_STATUS = versionedSql(import.meta.url, '../sql/list-as-of-status.sql');
const COUNT_BETWEEN = versionedSql(import.meta.url, '../sql/count-between.sql');
/** Rows looked at for one page: where few of those then changed match, a page may be short and still have a next one. */
const MOST_ROWS = 1_000;
const FEWEST_ROWS = 50;

type Db = Pick<pg.Pool | pg.PoolClient, 'query'>;
type Row = PromptRow & { changed: boolean; by_prompt: boolean };

export async function listPromptsAt(
  deps: { pool: ReadPool; live: LiveModel; reader: PromptReader },
  point: Point,
  filter: ListFilter,
  page: { after: PageKey | null; limit: number },
): Promise<{ data: Prompt[]; next: PageKey | null }> {
  const { pool, live, reader } = deps;
  const data: Prompt[] = [];
  // Nothing that was submitted later is looked at; times are whole milliseconds.
  const end = new Date(Date.parse(point.recordedAt) + 1).toISOString();
  const to = filter.to !== null && Date.parse(filter.to) < Date.parse(end) ? filter.to : end;
  let after = page.after;
  for (let examined = 0; ; ) {
    const size = Math.max(page.limit + 1 - data.length, FEWEST_ROWS);
    const rows = await read(after, size);
    const changed = rows.filter((row) => row.changed).map((row) => row.prompt_id);
    const views = await reader.viewsAt(changed, point.position);
    for (const [i, row] of rows.entries()) {
      const view = row.changed ? views.get(row.prompt_id) : toView(row);
      after = { submittedAt: row.submitted_at, id: row.prompt_id };
      if (!view || !wasMatch(row, view)) continue;
      data.push(view);
      if (data.length === page.limit) {
        const isLast = i === rows.length - 1 && rows.length < size;
        return { data, next: isLast ? null : after };
      }
    }
    examined += rows.length;
    if (rows.length < size) return { data, next: null };
    if (examined >= MOST_ROWS) return { data, next: after };
  }

  function wasMatch(row: Row, view: Prompt): boolean {
    if (!row.changed) return true;
    if (filter.status !== null && view.status !== filter.status) return false;
    return filter.words === null || view.answer !== null || row.by_prompt;
  }

  async function read(key: PageKey | null, limit: number): Promise<Row[]> {
    const before = upperBound(to, key);
    return live.read((version) => {
      if (!isBounded(filter)) return readFrom(pool, version, before, limit, Number.MAX_SAFE_INTEGER);
      return inTransaction(
        pool,
        async (client) => {
          // A model never changes, and then no more have it than now.
          const there = await countMatching(client, version, { ...filter, status: null });
          if (there === 0) return [];
          const { status, words } = filter;
          if (status === null || words !== null)
            return readFrom(client, version, before, Math.min(limit, there), there);
          const kept = Math.min(limit, await countKept(client, version, status, before));
          const values = [...boundsOf(filter, before), limit, point.position, kept];
          return (await client.query<Row>({ text: LIST_OF_STATUS(version), values })).rows;
        },
        boundedSnapshot(filter),
      );
    });
  }

  /** At most so many have the status now, of those submitted in the range: most often none is running that was so long ago. */
  async function countKept(client: pg.PoolClient, version: number, status: string, before: PageKey): Promise<number> {
    const range = {
      from: filter.from === null ? null : floorTo(Date.parse(filter.from), QUARTER_MS),
      to: floorTo(Date.parse(before.submittedAt), QUARTER_MS) + QUARTER_MS,
    };
    const segments = segmentsJson(segmentsOf(range, filter.userId === null ? OF_ALL : BY_USER));
    const values = [filter.userId, filter.model, status, segments];
    const { rows } = await client.query<{ prompts: number }>({ text: COUNT_BETWEEN(version), values });
    return rows[0]?.prompts ?? 0;
  }

  async function readFrom(db: Db, version: number, before: PageKey, limit: number, there: number): Promise<Row[]> {
    const { position } = point;
    const { words } = filter;
    if (words !== null)
      return searchWords(db, version, { filter: { ...filter, words }, before, most: limit, there, position });
    const values = [...boundsOf(filter, before), limit, position];
    return (await db.query<Row>({ text: LIST(version), values })).rows;
  }
}
