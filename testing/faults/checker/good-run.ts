/** A small run in which nothing is wrong: what the checker's tests spoil, one thing at a time. */
import type { Evidence, LoggedEvent, Operation } from '../evidence.ts';
import { ledgerOf } from './good-ledger.ts';

const T0 = Date.parse('2026-05-01T00:00:00.000Z');
export const ids = {
  plain: 'p-1',
  retried: 'p-2',
  lost: 'p-3',
  cancelled: 'p-4',
  redriven: 'p-5',
  expired: 'p-6',
} as const;

type Step = [type: string, data?: Partial<LoggedEvent['data']>];
const WORKER = 'worker-host-41-a1b2c3';
const start = (attempt: number, worker = 'worker-host-42-a1b2c3'): Step => [
  'AttemptStarted',
  { attempt, boundNanoUsd: 100, worker },
];
const cost = (attempt: number, nanoUsd: number | null) => ({
  attempt,
  nanoUsd,
  boundNanoUsd: nanoUsd === null ? 100 : null,
});

const histories: { id: string; userId: string; retry: 'auto' | 'never'; steps: Step[] }[] = [
  {
    id: ids.plain,
    userId: 'ada',
    retry: 'never',
    steps: [['PromptSubmitted'], start(1), ['PromptCompleted', cost(1, 10)]],
  },
  {
    id: ids.retried,
    userId: 'ada',
    retry: 'auto',
    steps: [
      ['PromptSubmitted'],
      start(1),
      ['AttemptFailed', { ...cost(1, 0), end: 'retry', code: 'provider_503' }],
      start(2),
      ['PromptCompleted', cost(2, 10)],
    ],
  },
  {
    id: ids.lost,
    userId: 'ken',
    retry: 'auto',
    steps: [
      ['PromptSubmitted'],
      start(1, WORKER),
      ['AttemptFailed', { ...cost(1, null), end: 'lost', code: 'lease_lost' }],
      start(2),
      ['PromptCompleted', cost(2, 10)],
      ['AttemptDiscarded', { ...cost(1, 10), code: 'late_answer' }],
    ],
  },
  {
    id: ids.cancelled,
    userId: 'ken',
    retry: 'auto',
    steps: [
      ['PromptSubmitted'],
      start(1),
      ['PromptCancelled'],
      ['AttemptDiscarded', { ...cost(1, null), code: 'cancelled' }],
    ],
  },
  {
    id: ids.redriven,
    userId: 'ken',
    retry: 'never',
    steps: [
      ['PromptSubmitted'],
      start(1),
      ['AttemptFailed', { ...cost(1, 0), end: 'retry', code: 'provider_503' }],
      ['PromptFailed', { attempt: 1, code: 'provider_503' }],
      ['PromptRequeued'],
      start(2),
      ['PromptCompleted', cost(2, 10)],
    ],
  },
  { id: ids.expired, userId: 'ada', retry: 'auto', steps: [['PromptSubmitted'], ['PromptExpired']] },
];

export function goodRun(): Evidence {
  const log: LoggedEvent[] = [];
  for (const { id, userId, retry, steps } of histories) {
    let version = 0;
    for (const [type, data] of steps) {
      version += 1;
      const position = log.length + 1;
      log.push({
        position,
        streamId: id,
        version,
        eventId: `e-${position}`,
        type,
        recordedAt: new Date(T0 + position * 100).toISOString(),
        committedAt: T0 + position * 100 + 2.5,
        data: {
          userId,
          model: 'm',
          ...(type === 'PromptSubmitted' && {
            retry,
            promptHash: `text of ${id}`,
            bodyHash: id === ids.plain ? `keyed ${id}` : null,
            notBefore: id === ids.plain ? new Date(T0 + position * 100 + 50).toISOString() : null,
            expiresAt: id === ids.expired ? new Date(T0 + position * 100 + 50).toISOString() : null,
          }),
          ...(type === 'AttemptStarted' && { token: `t-${position}` }),
          ...data,
        },
      });
    }
  }
  const at = (id: string, attempt: number) =>
    Date.parse(
      log.find((one) => one.streamId === id && one.type === 'AttemptStarted' && one.data.attempt === attempt)!
        .recordedAt,
    ) + 5;
  const call = (id: string, attempt: number, billed: boolean) => ({
    at: at(id, attempt),
    attemptId: `${id}/${attempt}`,
    billed,
    status: billed ? 200 : 503,
    fault: null,
    nanoUsd: billed ? 10 : null,
  });
  const last = (id: string) => log.findLast((one) => one.streamId === id)!.position;
  const row = (promptId: string, userId: string, status: string, attempts: number) => ({
    promptId,
    userId,
    status,
    attempts,
    position: last(promptId),
  });
  const operation = (over: Partial<Operation>): Operation => ({
    user: 'ada',
    api: 'command-api-1',
    kind: 'ask',
    invokedAt: T0,
    completedAt: T0 + 50,
    outcome: 'ok',
    status: 202,
    retryAfter: null,
    code: null,
    promptId: null,
    key: null,
    bodyHash: 'h',
    promptHash: null,
    retry: 'auto',
    replayed: false,
    told: null,
    minPosition: null,
    position: null,
    rows: [],
    canariesOf: [],
    ...over,
  });
  const place = (id: string, type: string) => log.find((one) => one.streamId === id && one.type === type)!.position;
  /** An ask that was accepted. */
  const taken = (id: string, over: Partial<Operation> = {}) =>
    operation({
      promptId: id,
      promptHash: `text of ${id}`,
      position: place(id, 'PromptSubmitted'),
      told: 'queued',
      invokedAt: T0 + place(id, 'PromptSubmitted') * 100 - 20,
      completedAt: T0 + place(id, 'PromptSubmitted') * 100 + 20,
      ...over,
    });
  const changed = (kind: 'cancel' | 'retry', promptId: string) =>
    operation({
      user: 'ken',
      kind,
      promptId,
      position: place(promptId, kind === 'cancel' ? 'PromptCancelled' : 'PromptRequeued'),
      told: kind === 'cancel' ? 'cancelled' : 'queued',
      invokedAt: T0 + 8_990,
      completedAt: T0 + 9_000,
    });
  const look = (over: Partial<Operation>) =>
    operation({
      status: 200,
      invokedAt: T0 + 8_000,
      completedAt: T0 + 9_000,
      minPosition: place(ids.plain, 'PromptSubmitted'),
      canariesOf: ['ada'],
      ...over,
    });
  const sums = { prompt: '6/1', user_usage: '2/2' };
  const status: Record<string, string> = {
    [ids.plain]: 'completed',
    [ids.retried]: 'completed',
    [ids.expired]: 'expired',
  };
  const framesOf = (userId: string | null) =>
    log
      .filter(({ data, position }) => position > 3 && (!userId || data.userId === userId))
      .map((event) => ({
        type: 'event' as const,
        position: event.position,
        promptId: event.streamId,
        status:
          event.position === last(event.streamId)
            ? (status[event.streamId] ?? (event.streamId === ids.cancelled ? 'cancelled' : 'completed'))
            : 'running',
        canariesOf: [event.data.userId],
      }));
  /** While the attempt ran that was lost. */
  const killed = at(ids.lost, 1) + 10;
  const hello = { type: 'hello' as const, position: 3, promptId: null, status: null, canariesOf: [] };
  const end = { type: 'position' as const, position: log.length + 1, promptId: null, status: null, canariesOf: [] };
  return {
    plan: { kind: 'chaos', minutes: 0.05, perSecond: 1, calmSeconds: 3.5, mixes: [] },
    seed: 1,
    startedAt: T0,
    quietAt: T0 + 10_000,
    cleanAt: T0 + 12_000,
    operations: [
      taken(ids.plain, { key: 'k-1' }),
      taken(ids.plain, { key: 'k-1', replayed: true }),
      operation({
        key: 'k-1',
        bodyHash: 'other',
        promptHash: 'other text',
        outcome: 'fail',
        status: 422,
        code: 'idempotency_key_reused',
      }),
      taken(ids.retried),
      taken(ids.expired),
      operation({ outcome: 'unknown', status: null }),
      operation({ outcome: 'unknown', status: 503, retryAfter: '2', code: 'unavailable' }),
      ...[ids.lost, ids.cancelled, ids.redriven].map((id) => taken(id, { user: 'ken' })),
      changed('cancel', ids.cancelled),
      operation({ user: 'ken', kind: 'cancel', promptId: ids.cancelled, outcome: 'fail', status: 409 }),
      changed('retry', ids.redriven),
      look({
        kind: 'list',
        promptId: ids.plain,
        rows: [{ promptId: ids.plain, position: last(ids.plain), status: 'completed' }],
      }),
      look({
        kind: 'timeline',
        promptId: ids.plain,
        rows: log
          .filter(({ streamId }) => streamId === ids.plain)
          .map(({ position, type }) => ({ promptId: ids.plain, position, status: type })),
      }),
      look({ kind: 'stats', position: log.length, canariesOf: [] }),
      look({ kind: 'read', promptId: ids.plain, told: 'completed', position: last(ids.plain) }),
    ],
    calls: [
      call(ids.plain, 1, true),
      call(ids.retried, 1, false),
      call(ids.retried, 2, true),
      call(ids.lost, 1, true),
      call(ids.lost, 2, true),
      call(ids.cancelled, 1, true),
      call(ids.redriven, 1, false),
      call(ids.redriven, 2, true),
    ],
    database: {
      log,
      outbox: [],
      cursor: log.length,
      parkedStreams: [],
      prompts: [
        row(ids.plain, 'ada', 'completed', 1),
        row(ids.retried, 'ada', 'completed', 2),
        row(ids.lost, 'ken', 'completed', 2),
        row(ids.cancelled, 'ken', 'cancelled', 1),
        row(ids.redriven, 'ken', 'completed', 2),
        row(ids.expired, 'ada', 'expired', 0),
      ],
      totals: [
        { userId: 'ada', prompts: 3, completed: 2, failed: 0, confirmed: 20, wasted: 0, unknownBound: 0 },
        { userId: 'ken', prompts: 3, completed: 2, failed: 0, confirmed: 20, wasted: 10, unknownBound: 100 },
      ],
      ledger: ledgerOf(log),
      checksums: { live: { ...sums }, rebuilt: { ...sums } },
    },
    redis: { tasksLength: 0, tasksPending: 0, longestTasks: 9, memoryBytes: 1 },
    feed: [
      { user: 'ada', isAdmin: false, after: null, brief: false, frames: [hello, ...framesOf('ada'), end] },
      { user: 'ada', isAdmin: false, after: 3, brief: true, frames: [hello, ...framesOf('ada').slice(0, 2)] },
      { user: 'ken', isAdmin: false, after: 3, brief: false, frames: [hello, ...framesOf('ken')] },
      { user: 'root', isAdmin: true, after: null, brief: false, frames: [hello, ...framesOf(null), end] },
    ],
    faults: [{ at: killed, until: killed, kind: 'worker killed', hits: ['worker-1'] }],
    impairments: [{ at: killed, until: killed, instance: 'worker-1', pid: 41, what: 'ended' }],
    processes: [
      { instance: 'worker-1', pid: 41 },
      { instance: 'worker-2', pid: 42 },
    ],
    seen: { repliesLost: 0, resyncs: 0, spooled: 0 },
    samples: [{ at: T0, service: 'worker', pid: 1, rssBytes: 100, openFiles: 20 }],
    postgresConnections: { most: 10, whose: 'worker 10' },
    unexpectedExits: [],
    secretsFound: [],
    limits: {
      cleanWithinMs: 10_000,
      rssBytes: 1_000,
      openFiles: 100,
      postgresConnections: 50,
      tasksLength: 10,
      leaseMs: 50,
      callTimeoutMs: 100,
      answerWithinMs: 2_000,
      feedBehind: 3,
    },
  };
}
