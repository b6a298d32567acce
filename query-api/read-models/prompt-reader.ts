/** Prompts as the API shows them: from the read model, and from the log where the read model cannot tell. */
import type pg from 'pg';
import type { StoredText } from '../../contracts/answer-text.ts';
import type { RecordedEvent } from '../../contracts/envelope.ts';
import type { Prompt } from '../../contracts/http/queries.ts';
import { type StateRow, unpackState } from '../../contracts/prompt/packed-state.ts';
import { fold, isTerminal, type PromptState } from '../../contracts/prompt/state.ts';
import { toPrompt } from '../../contracts/prompt/view.ts';
import { type EventRow, readStreamRows, readStreams, toEvent } from '../../platform/postgres/read.ts';
import { isConnectionLoss, sqlState } from '../../platform/postgres/sqlstate.ts';
import { versionedSql } from '../../platform/postgres/versioned-sql.ts';
import { upTo } from './as-of.ts';
import type { LiveModel } from './live-model.ts';

type Db = Pick<pg.Pool, 'query'>;

type Texts = { prompt: string; answer: string | null; encoding: StoredText['encoding'] };
/** As it stands in the read model. */
export type PromptRow = StateRow & Texts;

export type FoundPrompt = {
  prompt: Prompt;
  /** Nothing will change it any more: it may be kept. */
  settled: boolean;
  /** Position up to which the answer speaks. */
  asOf: number;
};

export type PromptReader = {
  /** Null only when no such prompt was ever accepted. */
  find: (promptId: string) => Promise<FoundPrompt | null>;
  /** As it was at a position; null for one that was not accepted by then. */
  findAt: (promptId: string, position: number) => Promise<Prompt | null>;
  /** The same of many; those that cannot be read are absent. */
  viewsAt: (promptIds: string[], position: number) => Promise<Map<string, Prompt>>;
  /** `wanted`: prompt id → position that its view must have folded in. Ids without a readable stream are absent. */
  views: (wanted: ReadonlyMap<string, number>) => Promise<Map<string, Prompt>>;
};

const PROMPT = versionedSql(import.meta.url, '../sql/prompt.sql');
const PROMPTS_BY_ID = versionedSql(import.meta.url, '../sql/prompts-by-id.sql');

export const toView = (row: PromptRow): Prompt => viewOf(unpackState(row), row);

const viewOf = (state: PromptState, { prompt, answer, encoding }: Texts): Prompt =>
  toPrompt(state, { prompt, answer: answer === null ? null : { text: answer, encoding } });

/**
 * `primary` is asked for streams: a replica may not have yet what was accepted a moment ago.
 * `onPoison` hears of streams that cannot be folded; in `views` they are left out, so that the others are not held up.
 */
export function createPromptReader(deps: {
  pool: Db;
  primary: Db;
  live: LiveModel;
  onPoison: (promptId: string, error: unknown) => void;
}): PromptReader {
  const { pool, primary, live, onPoison } = deps;

  /** As of `upTo`, but never before its first event. */
  const fromLog = async (promptId: string, upTo = Number.POSITIVE_INFINITY): Promise<FoundPrompt | null> => {
    const all = (await readStreams(primary, [promptId])).get(promptId) ?? [];
    const events = all.filter(({ position }, i) => i === 0 || position <= upTo);
    const state = fold(events);
    if (!state) return null;
    return { prompt: viewOf(state, textsOf(events)), settled: false, asOf: state.position };
  };

  /** Null when an event of it cannot be folded. */
  const fromLogIfReadable = async (promptId: string): Promise<FoundPrompt | null> => {
    try {
      return await fromLog(promptId);
    } catch (error) {
      if (isConnectionLoss(error) || sqlState(error) !== null) throw error;
      onPoison(promptId, error);
      return null;
    }
  };

  const at = (rows: EventRow[], position: number): Prompt | null => {
    const events = upTo(rows, position).map(toEvent);
    const state = fold(events);
    return state && viewOf(state, textsOf(events));
  };

  type FoundRow = { cursor: number; parked: boolean; state: string | null } & Omit<PromptRow, 'state'>;
  const rowOf = (db: Db, promptId: string): Promise<FoundRow | undefined> =>
    live.read(async (version) => {
      const statement = { name: `prompt-v${version}`, text: PROMPT(version), values: [promptId] };
      return (await db.query<FoundRow>(statement)).rows[0];
    });

  /** Of a prompt whose stream is not in the log: had it left, the read model has had all of it for long. */
  const ended = async (promptId: string): Promise<FoundPrompt | null> => {
    const row = await rowOf(primary, promptId);
    return row && isThere(row) ? found(row) : null;
  };

  return {
    findAt: async (promptId, position) => {
      const rows = (await readStreamRows(primary, [promptId])).get(promptId);
      if (rows) return at(rows, position);
      // Nobody looks back to before the floor, where such a prompt had ended.
      const found = await ended(promptId);
      return found && found.prompt.position <= position ? found.prompt : null;
    },

    viewsAt: async (promptIds, position) => {
      const views = new Map<string, Prompt>();
      if (promptIds.length === 0) return views;
      for (const [promptId, rows] of await readStreamRows(primary, promptIds)) {
        try {
          const view = at(rows, position);
          if (view) views.set(promptId, view);
        } catch (error) {
          onPoison(promptId, error);
        }
      }
      return views;
    },

    find: async (promptId) => {
      const row = await rowOf(pool, promptId);
      if (row) live.saw(row.cursor);
      if (row && isThere(row))
        return row.parked ? ((await fromLogIfReadable(promptId)) ?? shownBefore(row)) : found(row);
      // Set aside at its first event there is nothing to show but what the log has, if this release can read that.
      if (row?.parked) return fromLog(promptId);
      // No farther than the read model is: its next answer would else go back in time.
      return (await fromLog(promptId, row?.cursor ?? 0)) ?? ended(promptId);
    },

    views: async (wanted) => {
      const rows = await live.read(async (version) => {
        const answer = await pool.query<PromptRow>({
          // Without a name it is planned each time: a plan from when the tables were small would read all of them.
          text: PROMPTS_BY_ID(version),
          values: [[...wanted.keys()]],
        });
        return answer.rows;
      });
      const views = new Map<string, Prompt>();
      for (const row of rows) {
        if (row.position >= (wanted.get(row.prompt_id) ?? 0)) views.set(row.prompt_id, toView(row));
      }
      // Parked streams, or a replica behind the one that gave the cursor.
      for (const promptId of wanted.keys()) {
        if (views.has(promptId)) continue;
        const found = await fromLogIfReadable(promptId);
        if (found) views.set(promptId, found.prompt);
      }
      return views;
    },
  };
}

type Found = { cursor: number } & PromptRow;
const isThere = <Row extends { state: string | null }>(row: Row): row is Row & Found => row.state !== null;

function found(row: Found): FoundPrompt {
  const state = unpackState(row);
  return { prompt: viewOf(state, row), settled: isSettled(state), asOf: row.cursor };
}

/** As it was before the event that nobody can fold: its `position` tells how far that is. */
function shownBefore(row: Found): FoundPrompt {
  return { prompt: toView(row), settled: false, asOf: row.cursor };
}

/** Failed prompts may be redriven; attempts without a known cost may still learn it. */
const isSettled = (state: PromptState): boolean =>
  isTerminal(state.status) &&
  state.status !== 'failed' &&
  state.attempts.every((attempt) => attempt.end !== 'open' && attempt.nanoUsd !== null);

function textsOf(events: RecordedEvent[]): Texts {
  const texts: Texts = { prompt: '', answer: null, encoding: 'plain' };
  for (const event of events) {
    if (event.type === 'PromptSubmitted') texts.prompt = event.data.prompt;
    if (event.type === 'PromptCompleted') {
      texts.answer = event.data.answer;
      texts.encoding = event.data.encoding;
    }
  }
  return texts;
}
