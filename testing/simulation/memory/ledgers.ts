/** The relay's and the worker's views of the outbox, over the database in memory. */
import type { DispatchLedger } from '../../../command-api/relay/dispatch-ledger.ts';
import type { LeaseLedger, Verdict } from '../../../worker/lease-ledger.ts';
import type { Database, OutboxRow } from './database.ts';

const WORKERS_SEEN_WITHIN_MS = 10_000;
const waiting = (row: OutboxRow) => row.dispatch === null && row.state === 'open';
const unclaimedRow = (row: OutboxRow) => row.dispatch !== null && row.token === null && row.state === 'open';

export function memoryDispatchLedger(db: Database): DispatchLedger {
  const rows = () => [...db.outbox.values()];
  const unstamp = (chosen: OutboxRow[]) => {
    for (const row of chosen) Object.assign(row, { dispatch: null, dispatchedAt: 0 });
  };
  return {
    keep: async () => {},
    readyPairs: async () => {
      const pairs = new Map(
        rows()
          .filter(waiting)
          .map(({ lane, model }) => [`${lane}/${model}`, { lane, model }]),
      );
      return [...pairs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, pair]) => pair);
    },
    capacity: async () => ({
      slots: [...db.workers.values()]
        .filter(({ seenAt }) => seenAt > db.now() - WORKERS_SEEN_WITHIN_MS)
        .reduce((sum, { slots }) => sum + slots, 0),
      parked: [...db.parked].filter(([, until]) => until > db.now()).map(([model]) => model),
    }),
    stamp: async ({ lane, model }, after, limit, perUser) => {
      const ready = rows().filter(
        (row) =>
          waiting(row) && row.lane === lane && row.model === model && row.userId > after && row.dueAt <= db.now(),
      );
      const byUser = [...Map.groupBy(ready, (row) => row.userId)].sort(([a], [b]) => (a < b ? -1 : 1));
      const picked = byUser
        .flatMap(([, own]) => own.sort((a, b) => a.dueAt - b.dueAt).slice(0, perUser))
        .slice(0, limit);
      picked.sort((a, b) => a.dueAt - b.dueAt || (a.promptId < b.promptId ? -1 : 1));
      return picked.map((row) => {
        row.dispatch = db.nextDispatch++;
        row.dispatchedAt = db.now();
        return { dispatch: row.dispatch, promptId: row.promptId, userId: row.userId, traceparent: row.traceparent };
      });
    },
    unstampAll: async (floor) => {
      db.nextDispatch = Math.max(floor, db.nextDispatch - 1) + 1;
      const chosen = rows().filter(unclaimedRow);
      unstamp(chosen);
      return chosen.length;
    },
    unstamp: async (promptIds) =>
      unstamp(rows().filter((row) => unclaimedRow(row) && promptIds.includes(row.promptId))),
    deadLeases: async (limit) =>
      rows()
        .filter((row) => row.dispatch !== null && db.leaseIsDead(row))
        .sort((a, b) => a.dispatch! - b.dispatch!)
        .slice(0, limit)
        .map(({ promptId, token }) => ({ promptId, token: token! })),
    overdue: async (limit) =>
      rows()
        .filter(
          (row) => row.expiresAt !== null && row.expiresAt <= db.now() && row.token === null && row.state === 'open',
        )
        .sort((a, b) => a.expiresAt! - b.expiresAt!)
        .slice(0, limit)
        .map((row) => row.promptId),
    unclaimed: async (seconds, limit) =>
      rows()
        .filter((row) => unclaimedRow(row) && row.dispatchedAt < db.now() - seconds * 1000)
        .sort((a, b) => a.dispatch! - b.dispatch!)
        .slice(0, limit)
        .map(({ promptId, dispatch }) => ({ promptId, dispatch: dispatch! })),
  };
}

export function memoryLeaseLedger(db: Database): LeaseLedger {
  return {
    dispatches: async (promptIds) =>
      new Map(promptIds.flatMap((id) => (db.outbox.has(id) ? [[id, db.outbox.get(id)!.dispatch] as const] : []))),
    renew: async (attempts, leaseSeconds) =>
      new Map(
        attempts.map(({ promptId, token }): [string, Verdict] => {
          const row = db.outbox.get(promptId);
          if (row?.token !== token) return [promptId, 'lost'];
          row.leaseUntil = db.now() + leaseSeconds * 1000;
          return [promptId, row.state === 'closing' ? 'closing' : 'renewed'];
        }),
      ),
    report: async (worker, slots) => void db.workers.set(worker, { slots, seenAt: db.now() }),
    signOff: async (worker) => void db.workers.delete(worker),
    handBack: async (promptId) => {
      const row = db.outbox.get(promptId);
      if (row && unclaimedRow(row)) Object.assign(row, { dispatch: null, dispatchedAt: 0 });
    },
    park: async (model, { seconds }) =>
      void db.parked.set(model, Math.max(db.parked.get(model) ?? 0, db.now() + seconds * 1000)),
  };
}
