/**
 * Prompts with certain words, newest first. A word of most prompts is soon found by looking at the newest one by one; one of fewer
 * by the index of words, span by span of time: how many were found so far tells how long the next one has to be. So a page reads
 * some times what it shows, however many have the words.
 */
import type pg from 'pg';
import { versionedSql } from '../../platform/postgres/versioned-sql.ts';
import { boundsOf, type ListFilter, MIN_UUID, type PageKey } from './page-bounds.ts';
import type { PromptRow } from './prompt-reader.ts';

const NEWEST = versionedSql(import.meta.url, '../sql/words-newest.sql');
const IN_SPAN = versionedSql(import.meta.url, '../sql/words-in-span.sql');
/** So many times the rows of a page are looked at one by one: words of half of the prompts need no index. */
const LOOKED_AT = 2;
const FEWEST_LOOKED_AT = 100;
/** Where none of a hundred, or of a hundred times 64, was found, about as many at most are in 64 times as many. */
const FURTHER = 64;
/** As text_marks_v1 has them: spans of 8^level seconds. */
const FIRST_LEVEL = 2;
const LAST_LEVEL = 8;
const spanMs = (level: number): number => 1_000 * 8 ** level;

/** `changed`, `by_prompt`: looking back, see words-in-span.sql. */
export type FoundRow = PromptRow & { changed: boolean; by_prompt: boolean };

export type WordSearch = {
  filter: ListFilter & { words: string };
  before: PageKey;
  /** Rows at most. */
  most: number;
  /** No more prompts than these are left by the filter's status and model. */
  there: number;
  /** Looked back to, or null for now. */
  position: number | null;
};

export async function searchWords(
  db: Pick<pg.Pool | pg.PoolClient, 'query'>,
  version: number,
  { filter, before, most, there, position }: WordSearch,
): Promise<FoundRow[]> {
  const lookedAt = Math.min(there, Math.max(LOOKED_AT * most, FEWEST_LOOKED_AT));
  const { rows: newest } = await db.query<FoundRow & { matches: boolean }>({
    text: NEWEST(version),
    values: [...boundsOf(filter, before), lookedAt, filter.words, position],
  });
  const found: FoundRow[] = newest.filter(({ matches }) => matches).slice(0, most);
  const [first, last] = [newest[0], newest.at(-1)];
  if (!first || !last || found.length === most || newest.length < lookedAt || lookedAt === there) return found;

  const start = Date.parse(first.submitted_at);
  let key: PageKey = { submittedAt: last.submitted_at, id: last.prompt_id };
  let latest = Date.parse(last.submitted_at);
  for (;;) {
    const further = found.length === 0 ? FURTHER : (most - found.length) / found.length;
    const spans = spansOf(latest, (start - latest) * further);
    const marks = [...(filter.userId === null ? [] : [userMark(filter.userId)]), ...(spans ? [spans.marks] : [])];
    const { rows } = await db.query<FoundRow>({
      text: IN_SPAN(version),
      values: [
        ...boundsOf(filter, key),
        most - found.length,
        filter.words,
        position,
        marks.length === 0 ? null : marks.join(' & '),
      ],
    });
    found.push(...rows);
    const isDone = found.length === most || (filter.from !== null && spans && Date.parse(filter.from) >= spans.from);
    if (!spans || isDone) return found;
    key = { submittedAt: new Date(spans.from).toISOString(), id: MIN_UUID };
    latest = spans.from - 1;
  }
}

/**
 * The one around a moment and the one before it, of half the length or more: null where the longest are shorter, then no mark tells it.
 * Of one alone there may be no more than a beginning.
 */
function spansOf(time: number, length: number): { marks: string; from: number } | null {
  let level = FIRST_LEVEL;
  while (spanMs(level) < length / 2) level += 1;
  if (level > LAST_LEVEL) return null;
  const n = Math.floor(time / spanMs(level));
  return { marks: `(${quoted(`@${level}:${n}`)} | ${quoted(`@${level}:${n - 1}`)})`, from: (n - 1) * spanMs(level) };
}

const userMark = (userId: string): string => quoted(`@u${[...userId].slice(0, 256).join('')}`);

/** A word of a tsquery, whatever is in it. */
const quoted = (word: string): string => `'${word.replace(/['\\]/g, '$&$&')}'`;
