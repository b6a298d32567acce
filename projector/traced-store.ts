/**
 * A projection's store whose steps have spans: one in each trace of which events were folded, under the newest of
 * them, linked to all. A step of its own would belong to nobody's trace.
 */
import type { EventRow } from '../platform/postgres/read.ts';
import { own } from '../platform/telemetry/conventions.ts';
import { stepOf } from '../platform/telemetry/shapes.ts';
import { beginSpan } from '../platform/telemetry/spans.ts';
import { isSampled, toSpanContext } from '../platform/telemetry/traceparent.ts';
import type { ProjectionStore } from './projection-store.ts';

export function traceSteps<State, Rows>(
  store: ProjectionStore<State, Rows>,
  projection: { name: string; version: number },
): ProjectionStore<State, Rows> {
  let read: EventRow[] = [];
  let startedAt = performance.now();
  return {
    ...store,
    read: async (...args) => {
      startedAt = performance.now();
      read = await store.read(...args);
      return read;
    },
    write: async (step) => {
      const written = await store.write(step);
      if (written) {
        const folded = read.filter(({ position }) => position > step.from && position <= step.to.position);
        mark(folded, projection, startedAt);
      }
      return written;
    },
  };
}

function mark(folded: EventRow[], { name, version }: { name: string; version: number }, startTime: number): void {
  const sampled = folded.filter(({ metadata }) => isSampled(metadata.traceparent));
  if (sampled.length === 0) return;
  for (const rows of Map.groupBy(sampled, traceIdOf).values()) {
    const newest = rows.at(-1)!;
    const contexts = [...new Set(rows.map(({ metadata }) => metadata.traceparent!))];
    const shape = stepOf(`project ${name}`, {
      [own.projectionName]: name,
      [own.projectionVersion]: version,
      [own.projectionEvents]: folded.length,
      [own.promptId]: newest.stream_id,
      [own.promptEvents]: rows.map(({ type }) => type),
      [own.promptPosition]: newest.position,
    });
    const links = contexts.map((traceparent) => ({ context: toSpanContext(traceparent) }));
    beginSpan(newest.metadata.traceparent, () => ({ ...shape, links, startTime })).end(performance.now());
  }
}

const traceIdOf = ({ metadata }: EventRow): string => metadata.traceparent!.slice(3, 35);
