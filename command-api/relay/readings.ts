/** What the leading relay tells of the outbox, the workers and parked models when its metrics are read. */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';
import type {
  OutboxDepth,
  ParkedModel,
  RelayReadings,
  WorkersReport,
} from '../../platform/telemetry/instruments/relay.ts';
import { type LaneNumber, laneNames } from './window.ts';

const DEPTH = readSql(import.meta.url, 'sql/outbox-depth.sql');
const WORKERS = readSql(import.meta.url, 'sql/workers-report.sql');
const PARKED = readSql(import.meta.url, 'sql/parked-models.sql');
const STATES = ['waiting', 'parked', 'scheduled', 'dispatched', 'running'] as const;

type Row = Omit<OutboxDepth, 'lane'> & { lane: LaneNumber };

export function createReadings(pool: Pick<pg.Pool, 'query'>, leads: () => boolean): RelayReadings {
  return {
    leads,
    // Without names: planned each time, not for the time when the outbox was empty.
    outbox: async () => {
      const { rows } = await pool.query<Row>(DEPTH);
      // A lane without prompts has 0 of them, not none.
      return laneNames.flatMap((lane, number) =>
        STATES.map((state): OutboxDepth => {
          const row = rows.find((one) => one.lane === number && one.state === state);
          return { lane, state, prompts: row?.prompts ?? 0, oldestSeconds: row?.oldestSeconds ?? 0 };
        }),
      );
    },
    workers: async () => {
      const { rows } = await pool.query<WorkersReport>(WORKERS);
      return rows[0] ?? { workers: 0, slots: 0, running: 0 };
    },
    parkedModels: async () => (await pool.query<ParkedModel>(PARKED)).rows,
  };
}
