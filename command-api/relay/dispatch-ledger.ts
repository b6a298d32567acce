/** The outbox as the leading relay and its sweeper see it. */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';
import type { LaneNumber } from './window.ts';

const DEAD_LEASES = readSql(import.meta.url, 'sql/dead-leases.sql');
const OVERDUE = readSql(import.meta.url, 'sql/overdue.sql');
const UNCLAIMED = readSql(import.meta.url, 'sql/unclaimed.sql');
const CAPACITY = readSql(import.meta.url, 'sql/capacity.sql');

export type Pair = { lane: LaneNumber; model: string };
export type Stamped = { dispatch: number; promptId: string; userId: string; traceparent: string | null };

export type DispatchLedger = {
  /** Keeps the leader's connection from falling idle. */
  keep: () => Promise<void>;
  /** Lanes and models with rows that wait for the relay, parked models too. */
  readyPairs: () => Promise<Pair[]>;
  /** Slots of the live workers, and the models nobody may be sent to now. */
  capacity: () => Promise<{ slots: number; parked: string[] }>;
  /** Commits dispatch numbers; users after `after` first, at most `perUser` rows of each. */
  stamp: (pair: Pair, after: string, limit: number, perUser: number) => Promise<Stamped[]>;
  /** Every stamped row without an attempt waits again, for numbers above `floor`; how many. */
  unstampAll: (floor: number) => Promise<number>;
  unstamp: (promptIds: string[]) => Promise<void>;
  /** Attempts whose worker can be taken for dead. */
  deadLeases: (limit: number) => Promise<{ promptId: string; token: string }[]>;
  /** Prompts whose time is over while no attempt runs. */
  overdue: (limit: number) => Promise<string[]>;
  /** Rows stamped longer ago than this and not claimed since. */
  unclaimed: (seconds: number, limit: number) => Promise<{ promptId: string; dispatch: number }[]>;
};

type Query = <R extends pg.QueryResultRow>(statement: {
  name: string;
  text: string;
  values?: unknown[];
}) => Promise<R[]>;

/** `query` runs on the connection that holds the relay's lock: lost with the lock. */
export function createDispatchLedger(query: Query): DispatchLedger {
  return {
    keep: async () => void (await query({ name: 'keep-lead', text: 'SELECT 1' })),
    readyPairs: () => query<Pair>({ name: 'ready-lanes', text: 'SELECT lane, model FROM ready_lanes_v1()' }),
    capacity: async () => {
      const [row] = await query<{ slots: number; parked: string[] }>({ name: 'relay-capacity', text: CAPACITY });
      return { slots: row?.slots ?? 0, parked: row?.parked ?? [] };
    },
    stamp: async ({ lane, model }, after, limit, perUser) => {
      type Row = { dispatch: number; prompt_id: string; user_id: string; traceparent: string | null };
      const rows = await query<Row>({
        name: 'stamp-ready',
        text: 'SELECT * FROM stamp_ready_v1($1::smallint, $2, $3, $4, $5)',
        values: [lane, model, after, limit, perUser],
      });
      return rows.map((row) => ({
        dispatch: row.dispatch,
        promptId: row.prompt_id,
        userId: row.user_id,
        traceparent: row.traceparent,
      }));
    },
    unstampAll: async (floor) => {
      const text = 'SELECT unstamp_v1(NULL, $1) AS rows';
      const [row] = await query<{ rows: number }>({ name: 'unstamp', text, values: [floor] });
      return row?.rows ?? 0;
    },
    unstamp: async (promptIds) => {
      await query({ name: 'unstamp-some', text: 'SELECT unstamp_v1($1, NULL) AS rows', values: [promptIds] });
    },
    deadLeases: async (limit) => {
      // A server that has just come up waits for its workers' answers, and must know when that was.
      await query({ name: 'note-up', text: 'SELECT note_up_v1()' });
      type Row = { prompt_id: string; token: string };
      const rows = await query<Row>({ name: 'dead-leases', text: DEAD_LEASES, values: [limit] });
      return rows.map((row) => ({ promptId: row.prompt_id, token: row.token }));
    },
    overdue: async (limit) => {
      const rows = await query<{ prompt_id: string }>({ name: 'overdue', text: OVERDUE, values: [limit] });
      return rows.map((row) => row.prompt_id);
    },
    unclaimed: async (seconds, limit) => {
      type Row = { prompt_id: string; dispatch: number };
      const rows = await query<Row>({ name: 'unclaimed', text: UNCLAIMED, values: [seconds, limit] });
      return rows.map((row) => ({ promptId: row.prompt_id, dispatch: row.dispatch }));
    },
  };
}
