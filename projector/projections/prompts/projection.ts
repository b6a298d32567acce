/** The projection `prompts`: every prompt as it is, its texts, and the sums over all of them. */
import { type StateRow, unpackState } from '../../../contracts/prompt/packed-state.ts';
import type { PromptState } from '../../../contracts/prompt/state.ts';
import { readSql } from '../../../platform/postgres/sql-file.ts';
import { forVersion, type Projection } from '../../projection.ts';
import { type BatchRows, foldBatch, toStored } from './fold-batch.ts';

const LOAD = readSql(import.meta.url, 'sql/load-states.sql');
const WRITE = readSql(import.meta.url, 'sql/write-batch.sql');
const DELETE_EMPTY = readSql(import.meta.url, 'sql/delete-empty.sql');

export const promptsProjection: Projection<PromptState, BatchRows> = {
  name: 'prompts',
  fold: (before, events) => foldBatch(before, events),
  load: async (pool, version, streamIds) => {
    const { rows } = await pool.query<StateRow>({
      name: `load-states-${version}`,
      text: forVersion(LOAD, version),
      values: [streamIds],
    });
    return new Map(rows.map((row) => [row.prompt_id, unpackState(row)]));
  },
  write: async (client, version, { prompts, texts, answers, usage, emptied, realUse }) => {
    const tables = [prompts.map(toStored), texts, answers, usage];
    const values = [...tables.map((table) => JSON.stringify(table)), realUse];
    await client.query({ name: `write-batch-${version}`, text: forVersion(WRITE, version), values });
    if (emptied.length === 0) return;
    const keys = [JSON.stringify(emptied)];
    await client.query({ name: `delete-empty-${version}`, text: forVersion(DELETE_EMPTY, version), values: keys });
  },
};
