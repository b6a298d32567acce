/** One version of the read models in memory: states, sums by user, and the cursor they belong to. */

import { type Measures, measures } from '../../../contracts/prompt/contribution.ts';
import type { PromptState } from '../../../contracts/prompt/state.ts';
import type { ProjectionStore } from '../../../projector/projection-store.ts';
import { foldBatch } from '../../../projector/projections/prompts/fold-batch.ts';
import type { Database } from './database.ts';

export type MemoryProjection = {
  cursor: number;
  states: Map<string, PromptState>;
  sums: Map<string, Measures>;
  parked: Set<string>;
};

export const createProjection = (): MemoryProjection => ({
  cursor: 0,
  states: new Map(),
  sums: new Map(),
  parked: new Set(),
});

export function memoryProjectionStore(db: Database, projection: MemoryProjection): ProjectionStore {
  return {
    cursor: async () => projection.cursor,
    read: async (after, limit, upTo = Number.POSITIVE_INFINITY) => db.log.slice(after, Math.min(after + limit, upTo)),
    load: async (streamIds) => ({
      states: new Map(
        streamIds.flatMap((id) => {
          const state = projection.states.get(id);
          return state ? [[id, structuredClone(state)]] : [];
        }),
      ),
      parked: streamIds.filter((id) => projection.parked.has(id)),
    }),
    fold: foldBatch,
    write: async ({ from, to, rows, aside, poison }) => {
      if (projection.cursor !== from || aside.some((id) => !projection.parked.has(id))) return false;
      projection.cursor = to.position;
      if (poison) projection.parked.add(poison.streamId);
      for (const { prompt_id, state } of rows?.prompts ?? []) projection.states.set(prompt_id, state);
      for (const row of rows?.usage ?? []) {
        const sums =
          projection.sums.get(row.user_id) ?? (Object.fromEntries(measures.map((name) => [name, 0])) as Measures);
        for (const name of measures) sums[name] += row[name];
        projection.sums.set(row.user_id, sums);
      }
      return true;
    },
  };
}
