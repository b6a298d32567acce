/** The outbox as a worker sees it: leases of its attempts, its own report, and the models it found refused. */
import type pg from 'pg';
import { readSql } from '../platform/postgres/sql-file.ts';

const DISPATCHES = readSql(import.meta.url, 'sql/dispatches.sql');
const HAND_BACK = readSql(import.meta.url, 'sql/hand-back.sql');
const PARK = readSql(import.meta.url, 'sql/park-model.sql');
const RENEW = readSql(import.meta.url, 'sql/renew-leases.sql');
const REPORT = readSql(import.meta.url, 'sql/report-worker.sql');
const SIGN_OFF = readSql(import.meta.url, 'sql/sign-off.sql');

export type Verdict = 'renewed' | 'closing' | 'busy' | 'lost';
export type Parking = { reason: string; seconds: number };

export type LeaseLedger = {
  /** Dispatch numbers that the rows carry now; absent: the prompt is done. */
  dispatches: (promptIds: string[]) => Promise<Map<string, number | null>>;
  /** Heartbeat of these attempts, no prompt twice; absent: unknown prompt. */
  renew: (attempts: { promptId: string; token: string }[], leaseSeconds: number) => Promise<Map<string, Verdict>>;
  /** The relay sizes its window by what the live workers report. */
  report: (worker: string, slots: number, running: number) => Promise<void>;
  signOff: (worker: string) => Promise<void>;
  /** The row waits for the relay again, unless an attempt runs. */
  handBack: (promptId: string) => Promise<void>;
  /** No relay dispatches the model for so long; a longer parking is not shortened. */
  park: (model: string, parking: Parking) => Promise<void>;
};

export function createLeaseLedger(pool: pg.Pool): LeaseLedger {
  return {
    dispatches: async (promptIds) => {
      type Row = { prompt_id: string; dispatch: number | null };
      // Without a name it is planned each time: a plan from when the outbox was empty would read all of it.
      const { rows } = await pool.query<Row>({ text: DISPATCHES, values: [promptIds] });
      return new Map(rows.map((row) => [row.prompt_id, row.dispatch]));
    },
    renew: async (attempts, leaseSeconds) => {
      const { rows } = await pool.query<{ prompt_id: string; verdict: Verdict }>({
        name: 'renew-leases',
        text: RENEW,
        values: [attempts.map((one) => one.promptId), attempts.map((one) => one.token), leaseSeconds],
      });
      return new Map(rows.map((row) => [row.prompt_id, row.verdict]));
    },
    report: async (worker, slots, running) => {
      await pool.query({ name: 'report-worker', text: REPORT, values: [worker, slots, running] });
    },
    signOff: async (worker) => void (await pool.query(SIGN_OFF, [worker])),
    handBack: async (promptId) => void (await pool.query(HAND_BACK, [promptId])),
    park: async (model, { reason, seconds }) => void (await pool.query(PARK, [model, reason, seconds])),
  };
}
