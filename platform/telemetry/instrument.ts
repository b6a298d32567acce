/** Makes the instruments of one registry. Values that are read when they are scraped never fail the scrape. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { NoAnswerError, within } from '../within.ts';
import type { ExemplarLabels } from './exemplar.ts';

export const LATENCY_BUCKETS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
];

export type Labels = Record<string, string>;
export type Sample = { labels: Labels; value: number };

/** Prometheus gives a scrape ten seconds; a database that is away must not take them. */
const READ_WITHIN_MS = 1_000;

export type Make = {
  counter: <L extends string = never>(name: string, help: string, labelNames?: readonly L[]) => Counter<L>;
  gauge: <L extends string = never>(name: string, help: string, labelNames?: readonly L[]) => Gauge<L>;
  histogram: <L extends string = never>(options: {
    name: string;
    help: string;
    labelNames?: readonly L[];
    buckets?: number[];
  }) => (labels: Record<L, string>, value: number, exemplar?: ExemplarLabels) => void;
  /**
   * Read when scraped, from every source that was added; absent until then, and while a source does not answer within a
   * second or fails, which `metrics_read_failures_total` counts.
   */
  watched: (
    name: string,
    help: string,
    labelNames?: readonly string[],
  ) => (read: () => Sample[] | Promise<Sample[]>) => void;
};

export function createMake(registry: Registry, readWithinMs = READ_WITHIN_MS): Make {
  const registers = [registry];
  const failures = new Counter({
    name: 'metrics_read_failures_total',
    help: 'Values that could not be read when they were scraped, by metric; it is absent meanwhile',
    labelNames: ['metric'],
    registers,
  });
  return {
    counter: (name, help, labelNames = []) => new Counter({ name, help, labelNames: [...labelNames], registers }),
    gauge: (name, help, labelNames = []) => new Gauge({ name, help, labelNames: [...labelNames], registers }),
    histogram: ({ name, help, labelNames = [], buckets = LATENCY_BUCKETS }) => {
      const histogram = new Histogram({
        name,
        help,
        labelNames: [...labelNames],
        buckets,
        registers,
        enableExemplars: true,
      });
      return (labels, value, exemplar = {}) =>
        histogram.observe({ labels, value, exemplarLabels: exemplar as Partial<Record<string, string>> });
    },
    watched: (name, help, labelNames = []) => {
      failures.inc({ metric: name }, 0); // or `increase` would not see its first failure
      const sources: (() => Sample[] | Promise<Sample[]>)[] = [];
      const gauge: Gauge = new Gauge({
        name,
        help,
        labelNames: [...labelNames],
        registers,
        collect: async () => {
          const read = await Promise.all(
            sources.map(async (source) => {
              try {
                return await within(readWithinMs, Promise.resolve(source()));
              } catch {
                failures.inc({ metric: name });
                return [];
              }
            }),
          );
          gauge.reset();
          if (labelNames.length === 0) gauge.remove();
          for (const { labels, value } of read.flat()) gauge.set(labels, value);
        },
      });
      return (source) => void sources.push(source);
    },
  };
}

export const sample = (value: number, labels: Labels = {}): Sample[] => [{ labels, value }];

/** One reading for all values that are taken from it in one scrape. */
export function readOnce<T>(read: () => Promise<T>, forMs = 500): () => Promise<T> {
  let last: { at: number; value: Promise<T> } | null = null;
  return () => {
    if (!last || performance.now() - last.at > forMs) last = { at: performance.now(), value: read() };
    return last.value;
  };
}

/** Of the time, at most so much is spent with a reading that grows with what it reads. */
const SHARE = 0.05;
/** Where a reading takes longer, the one before is told. */
const PATIENCE_MS = 500;
const STALE_MS = 120_000;

/** A reading that may come to take seconds: made less often then, and told as it was last; one of long ago is told to nobody. */
export function readSparingly<T>(read: () => Promise<T>, patienceMs = PATIENCE_MS): () => Promise<T> {
  let last: { value: T; at: number; tookMs: number } | null = null;
  let running: Promise<T> | null = null;

  async function start(): Promise<T> {
    const startedAt = performance.now();
    try {
      const value = await read();
      const at = performance.now();
      last = { value, at, tookMs: at - startedAt };
      return value;
    } finally {
      running = null;
    }
  }

  return async () => {
    const now = performance.now();
    if (!running && (!last || now - last.at >= last.tookMs / SHARE)) running = start();
    if (!last || now - last.at > STALE_MS) return running ?? start();
    if (!running) return last.value;
    const former = last.value;
    return within(patienceMs, running).catch((error: unknown) => {
      if (error instanceof NoAnswerError) return former;
      throw error;
    });
  };
}
