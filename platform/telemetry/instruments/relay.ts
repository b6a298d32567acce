import { type Make, readOnce, readSparingly, type Sample, sample } from '../instrument.ts';

export type OutboxDepth = {
  lane: string;
  /** waiting: due, for the relay. parked: the same of a parked model. scheduled: not due yet. dispatched: not claimed yet. */
  state: 'waiting' | 'parked' | 'scheduled' | 'dispatched' | 'running';
  prompts: number;
  /** Of the one that waits longest: since it was due, or since it was dispatched. */
  oldestSeconds: number;
};
export type WorkersReport = { workers: number; slots: number; running: number };
export type ParkedModel = { model: string; reason: string; seconds: number };

/** Only the relay that leads tells of the outbox, the workers and parked models: once for the whole system. */
export type RelayReadings = {
  leads: () => boolean;
  outbox: () => Promise<OutboxDepth[]>;
  workers: () => Promise<WorkersReport>;
  parkedModels: () => Promise<ParkedModel[]>;
};

export const relayMetrics = (make: Make) => {
  const leads = make.watched('relay_leads', '1 while the relay of this process leads');
  const prompts = make.watched('outbox_prompts', 'Open prompts, by lane and what they wait for', ['lane', 'state']);
  const oldest = make.watched(
    'outbox_oldest_seconds',
    'Age of the oldest open prompt of the lane in this state: since it was due, or dispatched',
    ['lane', 'state'],
  );
  const workers = make.watched('workers_live', 'Workers that reported in the last ten seconds');
  const slots = make.watched('workers_slots', 'Prompts that they take at once');
  const running = make.watched('workers_running', 'Provider calls in flight in them');
  const parked = make.watched(
    'model_parked_seconds',
    'For how long nobody is sent to the model: breaker open, daily quota, bad key, billing; absent when served',
    ['model', 'reason'],
  );
  const published = make.counter('relay_published_total', 'Task entries published');
  const resyncs = make.counter('relay_resyncs_total', 'Times that all dispatch numbers were given anew');
  const unreadable = make.counter(
    'sweeper_unreadable_prompts_total',
    'Open prompts left alone, having events of a newer release',
  );
  const lost = make.counter('sweeper_lost_attempts_total', 'Attempts whose worker fell silent until the lease ended');
  const again = make.counter('sweeper_dispatched_again_total', 'Prompts whose task entry Redis lost');
  return {
    onPublished: (count: number): void => published.inc(count),
    onResync: (): void => resyncs.inc(),
    onSkipped: (): void => unreadable.inc(),
    onLostAttempt: (): void => lost.inc(),
    onLostEntries: (count: number): void => again.inc(count),
    watch: (readings: RelayReadings): void => {
      const led =
        <T>(read: () => Promise<T>, samples: (found: T) => Sample[]) =>
        async (): Promise<Sample[]> => {
          if (!readings.leads()) return [];
          return samples(await read());
        };
      leads(() => sample(readings.leads() ? 1 : 0));
      const depth = readOnce(readSparingly(readings.outbox));
      const by = ({ lane, state }: OutboxDepth) => ({ lane, state });
      prompts(led(depth, (rows) => rows.map((row) => ({ labels: by(row), value: row.prompts }))));
      oldest(led(depth, (rows) => rows.map((row) => ({ labels: by(row), value: row.oldestSeconds }))));
      const report = readOnce(readings.workers);
      workers(led(report, (found) => sample(found.workers)));
      slots(led(report, (found) => sample(found.slots)));
      running(led(report, (found) => sample(found.running)));
      parked(
        led(readings.parkedModels, (rows) =>
          rows.map(({ model, reason, seconds }) => ({ labels: { model, reason }, value: seconds })),
        ),
      );
    },
  };
};
