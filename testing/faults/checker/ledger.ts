/** I6: the ledger, against the checker's own fold of the log, the provider's bill and the read models. */
import type { Evidence, Ledger, LedgerAccount, LedgerEntry } from '../evidence.ts';
import {
  type AttemptFold,
  callsByAttempt,
  chargeOf,
  type Fold,
  foldsOf,
  type Judge,
  say,
  type Violation,
} from './streams.ts';

const told = say('I6');

/** One entry for each attempt, settled as the log says, none reserved at rest, and sums that are theirs. */
export const ledgerIsLog: Judge = (evidence) => {
  const { ledger, log } = evidence.database;
  // In virtual time there is none: it is posted by Postgres.
  if (!ledger) return evidence.plan.kind === 'simulation' ? [] : [told(null, 'no ledger was collected')];
  const head = log.at(-1)?.position ?? 0;
  const folds = foldsOf(evidence);
  return [
    ...(ledger.position === head ? [] : [told(null, `the ledger is posted up to ${ledger.position} of ${head}`)]),
    ...(ledger.differencesTold === 0
      ? []
      : [told(null, `audits of the ledger told ${ledger.differencesTold} times that the read models differ`)]),
    ...entriesOfAttempts(ledger, folds),
    ...atRest(ledger),
    ...asBilled(ledger, evidence),
    ...accountsOfLog(ledger, folds),
    ...asReadModels(ledger, evidence),
  ];
};

const stateOf = ({ end, nanoUsd }: AttemptFold): string => {
  if (end === 'open') return 'reserved';
  if (nanoUsd === null) return 'unknown';
  if (end === 'answered') return 'confirmed';
  return nanoUsd === 0 ? 'void' : 'wasted';
};

const entryOf = ({ promptId, userId, model }: Fold, attempt: AttemptFold): LedgerEntry => ({
  promptId,
  attempt: attempt.attempt,
  userId,
  model,
  state: stateOf(attempt),
  nanoUsd: attempt.nanoUsd,
  boundNanoUsd: attempt.boundNanoUsd,
  reservedPosition: attempt.startedPosition,
  settledPosition: attempt.settledPosition,
});

function entriesOfAttempts({ entries }: Ledger, folds: Map<string, Fold>): Violation[] {
  const found = Map.groupBy(entries, ({ promptId, attempt }) => `${promptId}/${attempt}`);
  const violations: Violation[] = [];
  for (const fold of folds.values()) {
    for (const one of fold.attempts) {
      const should = entryOf(fold, one);
      const name = `${fold.promptId}/${one.attempt}`;
      const those = found.get(name) ?? [];
      found.delete(name);
      const [is] = those;
      if (those.length !== 1 || !is) {
        violations.push(told(fold.promptId, `attempt ${one.attempt} has ${those.length} entries in the ledger`));
        continue;
      }
      for (const field of Object.keys(should) as (keyof LedgerEntry)[]) {
        if (is[field] === should[field]) continue;
        const message = `${field} of attempt ${one.attempt} is ${is[field]} in the ledger, ${should[field]} by the log`;
        violations.push(told(fold.promptId, message));
      }
    }
  }
  for (const those of found.values()) {
    const { promptId, attempt } = those[0]!;
    violations.push(told(promptId, `attempt ${attempt} has an entry in the ledger, and never began`));
  }
  return violations;
}

const atRest = ({ entries }: Ledger): Violation[] =>
  entries
    .filter(({ state }) => state === 'reserved')
    .map(({ promptId, attempt }) => told(promptId, `attempt ${attempt} is reserved in the ledger, and all is at rest`));

function asBilled({ entries }: Ledger, evidence: Evidence): Violation[] {
  const calls = callsByAttempt(evidence);
  return entries.flatMap(({ promptId, attempt, nanoUsd }) => {
    const charged = chargeOf(calls, promptId, attempt);
    return nanoUsd === null || charged === null || nanoUsd === charged
      ? []
      : [told(promptId, `attempt ${attempt} costs ${nanoUsd} in the ledger, the provider charges ${charged}`)];
  });
}

type Sums = Omit<LedgerAccount, 'userId' | 'model'>;
const SUMS = ['prompts', 'reserved', 'confirmed', 'wasted', 'unknownBound'] as const;
const nothing = (): Sums => ({ prompts: 0, reserved: 0, confirmed: 0, wasted: 0, unknownBound: 0 });

function accountsOfLog({ accounts }: Ledger, folds: Map<string, Fold>): Violation[] {
  const expected = new Map<string, Sums>();
  for (const fold of folds.values()) {
    const name = `${fold.userId}/${fold.model}`;
    const sums = expected.get(name) ?? nothing();
    expected.set(name, sums);
    sums.prompts += 1;
    for (const one of fold.attempts) {
      const state = stateOf(one);
      if (state === 'reserved') sums.reserved += one.boundNanoUsd ?? 0;
      else if (state === 'unknown') sums.unknownBound += one.boundNanoUsd ?? 0;
      else if (state === 'confirmed' || state === 'wasted') sums[state] += one.nanoUsd ?? 0;
    }
  }
  return [
    ...differing(
      'the log',
      expected,
      sumsBy(accounts, ({ userId, model }) => `${userId}/${model}`),
      SUMS,
    ),
    ...twice(accounts),
  ];
}

const twice = (accounts: LedgerAccount[]): Violation[] =>
  [...Map.groupBy(accounts, ({ userId, model }) => `${userId}/${model}`)]
    .filter(([, those]) => those.length > 1)
    .map(([name, those]) => told(null, `${name} has ${those.length} accounts in the ledger`));

function asReadModels({ accounts }: Ledger, { database }: Evidence): Violation[] {
  const totals = new Map(database.totals.map((row) => [row.userId, { ...nothing(), ...row }]));
  const byUser = sumsBy(accounts, ({ userId }) => userId);
  return differing('the read models', totals, byUser, ['prompts', 'confirmed', 'wasted', 'unknownBound']);
}

function sumsBy(accounts: LedgerAccount[], nameOf: (account: LedgerAccount) => string): Map<string, Sums> {
  const sums = new Map<string, Sums>();
  for (const account of accounts) {
    const name = nameOf(account);
    const sum = sums.get(name) ?? nothing();
    sums.set(name, sum);
    for (const field of SUMS) sum[field] += Number(account[field]);
  }
  return sums;
}

function differing(
  by: string,
  expected: Map<string, Sums>,
  found: Map<string, Sums>,
  fields: readonly (keyof Sums)[],
): Violation[] {
  return [...new Set([...expected.keys(), ...found.keys()])].flatMap((name) => {
    const [should, is] = [expected.get(name) ?? nothing(), found.get(name) ?? nothing()];
    return fields
      .filter((field) => Number(should[field]) !== is[field])
      .map((field) => told(null, `${field} of ${name} is ${is[field]} in the ledger, ${should[field]} by ${by}`));
  });
}
