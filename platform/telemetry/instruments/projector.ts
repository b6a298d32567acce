import { type Make, readOnce, readSparingly, sample } from '../instrument.ts';

type AuditFigures = { position: number; sums: number; nanoUsd: number; totals: Record<string, number> };
export const REBUILD_OUTCOMES = ['switched', 'kept', 'dropped', 'failed', 'cancelled'] as const;

/** Of one account, what the provider charged or what the emulator would have. */
export type DaySpent = { account: string; emulated: boolean; nanoUsd: number };

export type ProjectorLag = {
  /** Events of the log not folded yet. */
  events: number;
  /** Age of the oldest of them; 0 when there is none. */
  seconds: number;
};

export const projectorMetrics = (make: Make) => {
  const lagEvents = make.watched('projector_lag_events', 'Events of the log not folded yet');
  const lagSeconds = make.watched(
    'projector_lag_seconds',
    'Age of the oldest event not folded yet, 0 when there is none',
  );
  const parked = make.watched(
    'projector_parked_streams',
    'Streams set aside because of an event that could not be folded; they wait for npm run parked',
    ['projection'],
  );
  const events = make.counter('projector_events_total', 'Events folded, into any version of a projection');
  const rebuildProgress = make.gauge(
    'rebuild_progress_ratio',
    'How much of its phase a rebuild has done, 0..1, of events or of tables to index and compare; absent while none runs here',
    ['phase'],
  );
  const rebuildLast = make.watched(
    'rebuild_last_outcome',
    '1 for how the last rebuild has ended, whoever did it, 0 for the other ways; none before the first',
    ['outcome'],
  );
  const audited = make.gauge(
    'ledger_audited_position',
    'Up to where the ledger was last compared with the read models',
  );
  const auditedAt = make.gauge('ledger_audited_timestamp_seconds', 'When that was, Unix time; 0 before the first time');
  const differing = make.gauge(
    'ledger_sums_differing',
    'Sums of the read models that are not equal to the ledger’s; 0 or something is wrong',
  );
  const mismatch = make.gauge('ledger_mismatch_nano_usd', 'By how much they differ, added up; 0 or something is wrong');
  const total = make.gauge(
    'ledger_nano_usd',
    'What the ledger adds up to: confirmed, wasted, and at most so much that is unknown or still reserved',
    ['account'],
  );
  const day = make.watched(
    'ledger_day_nano_usd',
    'What attempts that started in the last 24 hours have cost by what is known now: confirmed, wasted, and at most so much that is unknown or still reserved',
    ['account', 'emulated'],
  );
  return {
    onFolded: (count: number): void => events.inc(count),
    /** Of the ledger beside the read models. */
    onAudit: ({ position, sums, nanoUsd, totals }: AuditFigures): void => {
      audited.set(position);
      auditedAt.setToCurrentTime();
      differing.set(sums);
      mismatch.set(nanoUsd);
      for (const [account, value] of Object.entries(totals)) total.set({ account }, value);
    },
    /** Of a rebuild that this process does. */
    onRebuildProgress: (progress: { phase: string; position: number; target: number } | null): void => {
      rebuildProgress.reset();
      if (!progress) return;
      const { phase, position, target } = progress;
      rebuildProgress.set({ phase }, target > 0 ? Math.min(1, position / target) : 1);
    },
    /** `read`: null before any has ended. */
    watchLastRebuild: (read: () => Promise<string | null>): void =>
      rebuildLast(async () => {
        const last = await read();
        if (last === null) return [];
        return REBUILD_OUTCOMES.map((outcome) => ({ labels: { outcome }, value: outcome === last ? 1 : 0 }));
      }),
    watchDay: (read: () => Promise<DaySpent[]>): void => {
      const spent = readSparingly(read);
      day(async () =>
        (await spent()).map(({ account, emulated, nanoUsd }) => ({
          labels: { account, emulated: String(emulated) },
          value: nanoUsd,
        })),
      );
    },
    watchLag: (read: () => Promise<ProjectorLag>): void => {
      const lag = readOnce(read);
      lagEvents(async () => sample((await lag()).events));
      lagSeconds(async () => sample((await lag()).seconds));
    },
    watchParked: (read: () => Promise<ReadonlyMap<string, number>>): void =>
      parked(async () => [...(await read())].map(([projection, value]) => ({ labels: { projection }, value }))),
  };
};
