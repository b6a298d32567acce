/** The metrics of one process. Labels are bounded: routes, models served, states; never ids or users. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

const watchedGauges = {
  attempts_running: 'Provider calls in flight',
  append_queue: 'Appends waiting for a call',
  relay_leads: '1 while this process leads',
  projector_lag_events: 'Events of the log not folded yet',
  live_subscribers: 'Connections on the live feed',
} as const;
const REBUILD_OUTCOMES = ['switched', 'kept', 'dropped', 'failed'];
type WatchedGauge = keyof typeof watchedGauges;

const labelledGauges = {
  projector_parked_streams: {
    help: 'Streams set aside because of an event that could not be folded; they wait for npm run parked',
    label: 'projection',
  },
} as const;
type LabelledGauge = keyof typeof labelledGauges;

type HttpResponse = { method: string; route: string; status: number; seconds: number };
type AuditFigures = { position: number; sums: number; nanoUsd: number; totals: Record<string, number> };
export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics(service: string) {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const httpSeconds = new Histogram({
    name: 'http_server_request_duration_seconds',
    help: 'Time from a request’s arrival to the end of its answer',
    labelNames: ['method', 'route', 'status'],
    buckets: LATENCY_BUCKETS,
    registers,
  });
  const rebuildProgress = new Gauge({
    name: 'rebuild_progress_ratio',
    help: 'Of the events up to where a rebuild’s phase ends, how many it has passed, 0..1; absent while none runs here',
    labelNames: ['phase'],
    registers,
  });
  const rebuildLast = new Gauge({
    name: 'rebuild_last_outcome',
    help: '1 for how the last rebuild of this process ended, 0 for the other ways; none before the first',
    labelNames: ['outcome'],
    registers,
  });
  const ledgerPosition = new Gauge({
    name: 'ledger_audited_position',
    help: 'Up to where the ledger was last compared with the read models',
    registers,
  });
  const ledgerSumsDiffering = new Gauge({
    name: 'ledger_sums_differing',
    help: 'Sums of the read models that are not equal to the ledger’s; 0 or something is wrong',
    registers,
  });
  const ledgerMismatch = new Gauge({
    name: 'ledger_mismatch_nano_usd',
    help: 'By how much they differ, added up; 0 or something is wrong',
    registers,
  });
  const ledgerTotal = new Gauge({
    name: 'ledger_nano_usd',
    help: 'What the ledger adds up to: confirmed, wasted, and at most so much that is unknown or still reserved',
    labelNames: ['account'],
    registers,
  });
  return {
    registry,
    /** A value that is read when it is scraped. */
    watch: (name: WatchedGauge, read: () => number | Promise<number>): void => {
      const gauge: Gauge = new Gauge({
        name,
        help: watchedGauges[name],
        registers,
        collect: async () => gauge.set(await read()),
      });
    },
    /** The same for each value of a label; values that are not there any more go. */
    watchEach: (name: LabelledGauge, read: () => Promise<ReadonlyMap<string, number>>): void => {
      const { help, label } = labelledGauges[name];
      const gauge: Gauge<typeof label> = new Gauge({
        name,
        help,
        labelNames: [label],
        registers,
        collect: async () => {
          const values = await read();
          gauge.reset();
          for (const [value, n] of values) gauge.set({ [label]: value }, n);
        },
      });
    },
    /** For `createServer`. */
    onResponse: ({ method, route, status, seconds }: HttpResponse): void =>
      httpSeconds.observe({ method, route, status: String(status) }, seconds),
    appendSeconds: new Histogram({
      name: 'append_call_duration_seconds',
      help: 'One call of append_events',
      buckets: LATENCY_BUCKETS,
      registers,
    }),
    appendBatch: new Histogram({
      name: 'append_call_appends',
      help: 'Appends in one call',
      buckets: [1, 2, 5, 10, 20, 50, 100],
      registers,
    }),
    attemptSeconds: new Histogram({
      name: 'attempt_duration_seconds',
      help: 'Provider calls by how they ended',
      labelNames: ['model', 'end'],
      buckets: LATENCY_BUCKETS,
      registers,
    }),
    published: new Counter({ name: 'relay_published_total', help: 'Task entries published', registers }),
    unreadablePrompts: new Counter({
      name: 'sweeper_unreadable_prompts_total',
      help: 'Open prompts left alone, having events of a newer release',
      registers,
    }),
    projectorEvents: new Counter({ name: 'projector_events_total', help: 'Events folded', registers }),
    /** Of the ledger beside the read models. */
    onAudit: ({ position, sums, nanoUsd, totals }: AuditFigures): void => {
      ledgerPosition.set(position);
      ledgerSumsDiffering.set(sums);
      ledgerMismatch.set(nanoUsd);
      for (const [account, total] of Object.entries(totals)) ledgerTotal.set({ account }, total);
    },
    /** Of a rebuild that this process does. */
    rebuild: {
      onProgress: (progress: { phase: string; position: number; target: number } | null): void => {
        rebuildProgress.reset();
        if (!progress) return;
        const { phase, position, target } = progress;
        rebuildProgress.set({ phase }, target > 0 ? Math.min(1, position / target) : 1);
      },
      onEnded: (ended: string): void => {
        for (const outcome of REBUILD_OUTCOMES) rebuildLast.set({ outcome }, outcome === ended ? 1 : 0);
      },
    },
  };
}
