/** I6, broken in the ledger alone: log, bill and read models are sound. */
import type { Evidence, Ledger, LedgerAccount, LedgerEntry } from '../evidence.ts';
import { ids } from './good-run.ts';
import { remove, type Spoil } from './spoil.ts';

const ledger = (run: Evidence): Ledger => run.database.ledger!;
const entry = (run: Evidence, promptId: string, attempt = 1): LedgerEntry =>
  ledger(run).entries.find((one) => one.promptId === promptId && one.attempt === attempt)!;
const account = (run: Evidence, userId: string): LedgerAccount =>
  ledger(run).accounts.find((one) => one.userId === userId)!;
const change =
  (id: string, to: Partial<LedgerEntry>, attempt = 1): Spoil =>
  (run) => {
    Object.assign(entry(run, id, attempt), to);
  };
const off =
  (field: 'prompts' | 'reserved' | 'confirmed' | 'wasted' | 'unknownBound'): Spoil =>
  (run) => {
    account(run, 'ken')[field] += 1;
  };

export const spoiltLedgers: Record<string, Spoil> = {
  'no ledger': (run) => {
    run.database.ledger = null;
  },
  'a ledger that is behind the log': (run) => {
    ledger(run).position -= 1;
  },
  'a difference that an audit told of': (run) => {
    ledger(run).differencesTold = 1;
  },
  'an attempt without an entry': (run) => remove(ledger(run).entries, entry(run, ids.retried)),
  'an attempt with two entries': (run) => ledger(run).entries.push({ ...entry(run, ids.plain) }),
  'an entry of an attempt that never began': (run) =>
    ledger(run).entries.push({ ...entry(run, ids.retried), attempt: 3 }),
  'an entry that is reserved still': change(ids.cancelled, { state: 'reserved', settledPosition: null }),
  'an answer that is wasted': change(ids.plain, { state: 'wasted' }),
  'a wasted attempt that is confirmed': change(ids.lost, { state: 'confirmed' }),
  'an attempt that cost nothing, and is wasted': change(ids.retried, { state: 'wasted' }),
  'an attempt of unknown cost that is void': change(ids.cancelled, { state: 'void', nanoUsd: 0, boundNanoUsd: null }),
  'a cost that became known, and is unknown': change(ids.lost, { state: 'unknown', nanoUsd: null, boundNanoUsd: 100 }),
  'another cost': change(ids.plain, { nanoUsd: 11 }),
  'another bound': change(ids.cancelled, { boundNanoUsd: 101 }),
  'a cost and a bound': change(ids.plain, { boundNanoUsd: 100 }),
  'another user': change(ids.plain, { userId: 'ken' }),
  'another model': change(ids.plain, { model: 'n' }),
  'another place of its start': (run) => {
    entry(run, ids.plain).reservedPosition += 1;
  },
  'an end that is not its last': (run) => {
    entry(run, ids.lost).settledPosition! -= 1;
  },
  'a prompt too many': off('prompts'),
  'a reservation too much': off('reserved'),
  'a sum of confirmed costs that is off by one': off('confirmed'),
  'a sum of wasted costs that is off by one': off('wasted'),
  'a sum of bounds that is off by one': off('unknownBound'),
  'a user without an account': (run) => remove(ledger(run).accounts, account(run, 'ada')),
  'two accounts of a user and a model': (run) =>
    ledger(run).accounts.push({
      ...account(run, 'ada'),
      prompts: 0,
      reserved: 0,
      confirmed: 0,
      wasted: 0,
      unknownBound: 0,
    }),
  'an account of nobody': (run) => ledger(run).accounts.push({ ...account(run, 'ada'), userId: 'nobody' }),
};
