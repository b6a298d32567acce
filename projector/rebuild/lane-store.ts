/** The lanes of a version in Postgres. */
import type pg from 'pg';
import type { LogArchive } from '../../platform/archive/open-archive.ts';
import { failPoint } from '../../platform/fail-points.ts';
import { copyRows } from '../../platform/postgres/copy.ts';
import { readPlaced } from '../../platform/postgres/read.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';
import { inTransaction } from '../../platform/postgres/transaction.ts';
import { forVersion, PROMPTS } from '../projection-store.ts';
import { toStored } from '../projections/prompts/fold-batch.ts';
import { promptsProjection } from '../projections/prompts/projection.ts';
import type { LaneStep, LaneStore } from './lanes.ts';

const MOVE = readSql(import.meta.url, 'sql/move-lane.sql');
const WRITE = readSql(import.meta.url, 'sql/write-lane.sql');

/** `lanes` as the version was begun with: a stream must stay in its lane. `archive`: of what has left the log, if anything. */
export function createLaneStore(pool: pg.Pool, version: number, archive: LogArchive | null): LaneStore {
  return {
    positions: async () => {
      const text = 'SELECT position FROM cursor WHERE name = $1 AND version = $2 AND lane > 0 ORDER BY lane';
      const { rows } = await pool.query<{ position: number }>(text, [PROMPTS, version]);
      return rows.map(({ position }) => position);
    },
    read: (after, limit, upTo) =>
      archive && after < archive.floor
        ? archive.read(after, limit, Math.min(upTo, archive.floor))
        : readPlaced(pool, after, limit, upTo),
    load: (streamIds) => promptsProjection.load(pool, version, streamIds),
    write: (step) => writeStep(pool, version, step),
  };
}

const writeStep = (pool: pg.Pool, version: number, { lane, from, to, events, rows }: LaneStep): Promise<void> =>
  inTransaction(pool, async (client) => {
    // As for the running projector: what is lost with the server is folded again from where the cursor then stands.
    await client.query('SET LOCAL synchronous_commit = off; SET LOCAL enable_seqscan = off');
    const moved = await client.query({
      name: 'move-lane',
      text: MOVE,
      values: [PROMPTS, version, lane, from, to.position, to.recordedAt, events],
    });
    if (moved.rowCount === 0) throw new Error(`lane ${lane} of version ${version} is not at ${from} any more`);
    await failPoint('rebuild.lane_moved');
    if (rows.prompts.length === 0) return;
    const { prompts, texts, answers, usage, realUse } = rows;
    // A prompt begins with its text: what has one is new, and nobody else's.
    const begun = new Set(texts.map(({ prompt_id }) => prompt_id));
    const stored = prompts.map(toStored);
    const [fresh, changed] = [true, false].map((isNew) => stored.filter((row) => begun.has(row.prompt_id) === isNew));
    await copyRows(client, `prompt_v${version}`, fresh!);
    await copyRows(client, `prompt_text_v${version}`, texts);
    await copyRows(client, `usage_delta_v${version}`, usage);
    if (changed!.length === 0 && answers.length === 0 && realUse === null) return;
    const values = [JSON.stringify(changed), JSON.stringify(answers), realUse];
    await client.query({ name: `write-lane-${version}`, text: forVersion(WRITE, version), values });
  });
