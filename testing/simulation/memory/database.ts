/** The log and the outbox in memory, with the very rules of migrations/: append_events_v1 and the outbox's functions. */
import type { Append, AppendResult, OutboxWrite } from '../../../platform/postgres/append.ts';
import type { EventRow } from '../../../platform/postgres/read.ts';

export type OutboxRow = {
  promptId: string;
  userId: string;
  model: string;
  lane: 0 | 1 | 2;
  state: 'open' | 'closing';
  dueAt: number;
  expiresAt: number | null;
  traceparent: string | null;
  dispatch: number | null;
  dispatchedAt: number;
  attempt: number;
  token: string | null;
  leaseUntil: number;
  leaseSeconds: number;
  holdUntil: number | null;
};

export type Database = {
  log: EventRow[];
  streams: Map<string, EventRow[]>;
  outbox: Map<string, OutboxRow>;
  workers: Map<string, { slots: number; seenAt: number }>;
  parked: Map<string, number>;
  /** The next dispatch number. */
  nextDispatch: number;
  startedAt: number;
  now: () => number;
  append: (append: Append) => AppendResult;
  leaseIsDead: (row: OutboxRow) => boolean;
};

/** `now`: milliseconds since 1970, the server's clock. */
export function createDatabase(now: () => number): Database {
  const byEventId = new Map<string, EventRow>();
  let lastRecorded = 0;

  const leaseIsDead = (row: OutboxRow): boolean => {
    const at = now();
    return (
      row.token !== null &&
      row.leaseUntil < at &&
      (row.holdUntil ?? row.leaseUntil) < at &&
      database.startedAt + row.leaseSeconds * 1000 < at
    );
  };

  function allowed(write: OutboxWrite, row: OutboxRow | undefined): boolean {
    const at = now();
    switch (write.op) {
      case 'open':
        return !row && !(write.unexpired && write.expires && Date.parse(write.expires) <= at);
      case 'claim':
        return (
          row !== undefined &&
          row.dispatch === write.dispatch &&
          row.state === 'open' &&
          row.token === null &&
          row.dueAt <= at &&
          (row.expiresAt === null || row.expiresAt > at)
        );
      default: {
        if (!row) return false;
        if (write.token !== undefined && row.token !== write.token) return false;
        if ('dead' in write && write.dead && !database.leaseIsDead(row)) return false;
        return (
          !('expired' in write && write.expired) ||
          (row.token === null && row.expiresAt !== null && row.expiresAt <= at)
        );
      }
    }
  }

  function change(write: OutboxWrite, promptId: string): void {
    const at = now();
    const row = database.outbox.get(promptId);
    switch (write.op) {
      case 'open':
        database.outbox.set(promptId, {
          promptId,
          userId: write.user,
          model: write.model,
          lane: write.lane,
          state: 'open',
          dueAt: write.due ? Date.parse(write.due) : at,
          expiresAt: write.expires ? Date.parse(write.expires) : null,
          traceparent: write.trace ?? null,
          dispatch: null,
          dispatchedAt: 0,
          attempt: write.attempt ?? 0,
          token: null,
          leaseUntil: 0,
          leaseSeconds: 0,
          holdUntil: null,
        });
        return;
      case 'claim':
        Object.assign(row!, {
          token: write.token,
          attempt: write.attempt,
          leaseSeconds: write.lease,
          leaseUntil: at + write.lease * 1000,
          holdUntil: write.hold === null ? null : at + write.hold * 1000,
        });
        return;
      case 'reschedule':
        Object.assign(row!, {
          token: null,
          leaseUntil: 0,
          leaseSeconds: 0,
          holdUntil: null,
          dispatch: null,
          dispatchedAt: 0,
          dueAt: at + write.after * 1000,
        });
        return;
      case 'close':
        row!.state = 'closing';
        return;
      case 'drop':
        database.outbox.delete(promptId);
    }
  }

  const database: Database = {
    log: [],
    streams: new Map(),
    outbox: new Map(),
    workers: new Map(),
    parked: new Map(),
    nextDispatch: 1,
    startedAt: now(),
    now,
    leaseIsDead,
    append: ({ streamId, expectedVersion, events, outbox }) => {
      const stored = events.map(({ eventId }) => byEventId.get(eventId)).find((row) => row !== undefined);
      if (stored) {
        return {
          status: 'duplicate',
          streamId: stored.stream_id,
          version: stored.version,
          position: stored.position,
          recordedAt: stored.recorded_at,
          type: stored.type as never,
          metadata: stored.metadata,
        };
      }
      const stream = database.streams.get(streamId) ?? [];
      if (expectedVersion !== null && expectedVersion !== stream.length)
        return { status: 'conflict', reason: 'version' };
      if (outbox && !allowed(outbox, database.outbox.get(streamId))) return { status: 'conflict', reason: 'outbox' };
      lastRecorded = Math.max(lastRecorded, now());
      const recorded_at = new Date(lastRecorded).toISOString();
      for (const { eventId, type, data, metadata } of events) {
        const row: EventRow = {
          position: database.log.length + 1,
          stream_id: streamId,
          version: stream.length + 1,
          event_id: eventId,
          type,
          schema_version: 1,
          data: structuredClone(data) as Record<string, unknown>,
          metadata,
          recorded_at,
        };
        database.log.push(row);
        stream.push(row);
        byEventId.set(eventId, row);
      }
      database.streams.set(streamId, stream);
      if (outbox) change(outbox, streamId);
      return {
        status: 'appended',
        streamId,
        version: stream.length,
        position: database.log.length,
        recordedAt: recorded_at,
      };
    },
  };
  return database;
}
