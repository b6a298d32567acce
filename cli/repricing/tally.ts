/** Sums of what was charged beside what would have been, per user and model. Pure. */
import { type Spend, spendOf } from '../../contracts/prompt/spend.ts';
import type { PromptState } from '../../contracts/prompt/state.ts';

/** Nano-USD of many prompts: no safe integer holds them for sure. */
export type Sums = { confirmed: bigint; wasted: bigint; unknownBound: bigint; unknown: number; unbounded: number };

export type Row = {
  userId: string;
  model: string;
  /** The emulator answered: nobody was charged, and nobody would have been. */
  notional: boolean;
  prompts: number;
  /** Those that ended. */
  attempts: number;
  asCharged: Sums;
  rerated: Sums;
};
export type Both = Omit<Row, 'userId' | 'model' | 'notional'>;

export type Tally = {
  add: (asCharged: PromptState, rerated: PromptState) => void;
  /** By user, then model; what is notional comes last. */
  rows: () => Row[];
  /** Attempts of each price version on record. */
  versions: () => { priceVersion: string; attempts: number }[];
};

const noSums = (): Sums => ({ confirmed: 0n, wasted: 0n, unknownBound: 0n, unknown: 0, unbounded: 0 });
const nothing = (): Both => ({ prompts: 0, attempts: 0, asCharged: noSums(), rerated: noSums() });

export function createTally(): Tally {
  const rows = new Map<string, Row>();
  const versions = new Map<string, number>();
  return {
    add: (asCharged, rerated) => {
      const { userId, model } = asCharged;
      const spend = spendOf(asCharged);
      const { notional } = spend;
      const key = JSON.stringify([userId, model, notional]);
      const row = rows.get(key) ?? { userId, model, notional, ...nothing() };
      rows.set(key, row);
      const ended = asCharged.attempts.filter(({ end }) => end !== 'open');
      row.prompts += 1;
      row.attempts += ended.length;
      addSpend(row.asCharged, spend);
      addSpend(row.rerated, spendOf(rerated));
      for (const { nanoUsd, priceVersion } of ended)
        if (nanoUsd !== null && priceVersion !== null)
          versions.set(priceVersion, (versions.get(priceVersion) ?? 0) + 1);
    },
    rows: () => [...rows.values()].sort(inOrder),
    versions: () =>
      [...versions]
        .map(([priceVersion, attempts]) => ({ priceVersion, attempts }))
        .sort((a, b) => byText(a.priceVersion, b.priceVersion)),
  };
}

export function totalOf(rows: readonly Row[]): Both {
  const total = nothing();
  for (const row of rows) {
    total.prompts += row.prompts;
    total.attempts += row.attempts;
    addSpend(total.asCharged, row.asCharged);
    addSpend(total.rerated, row.rerated);
  }
  return total;
}

function addSpend(sums: Sums, spend: Omit<Spend, 'notional'> | Sums): void {
  sums.confirmed += BigInt(spend.confirmed);
  sums.wasted += BigInt(spend.wasted);
  sums.unknownBound += BigInt(spend.unknownBound);
  sums.unknown += spend.unknown;
  sums.unbounded += spend.unbounded;
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const inOrder = (a: Row, b: Row): number =>
  Number(a.notional) - Number(b.notional) || byText(a.userId, b.userId) || byText(a.model, b.model);
