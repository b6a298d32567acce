/** Sums of what was charged beside what would have been, per user and model. Pure. */
import { type ByCertainty, byCertainty, isEmulated } from '../../contracts/prompt/spend.ts';
import type { AttemptState, PromptState } from '../../contracts/prompt/state.ts';

/** Nano-USD of many prompts: no safe integer holds them for sure. */
export type Sums = { confirmed: bigint; wasted: bigint; unknownBound: bigint; unknown: number; unbounded: number };

export type Row = {
  userId: string;
  model: string;
  /** Of attempts that the emulator answered: nobody was charged, and nobody would have been. */
  notional: boolean;
  /** Counted on the side of who answered them, so that a row of attempts may have none. */
  prompts: number;
  /** Those that ended. */
  attempts: number;
  asCharged: Sums;
  rerated: Sums;
  /** Attempts whose cost somebody put right, for the prices charged, so that it says nothing of these. */
  corrected: Corrected;
};
/** By their tokens; or they have none on record, or no price here, and stay unknown. */
export type Corrected = { ratedByTokens: number; unknown: number };
export type Both = Omit<Row, 'userId' | 'model' | 'notional'>;

export type Tally = {
  add: (prompt: { asCharged: PromptState; rerated: PromptState; corrected: ReadonlySet<number> }) => void;
  /** By user, then model; what is notional comes last. */
  rows: () => Row[];
  /** Attempts of each price version on record. */
  versions: () => { priceVersion: string; attempts: number }[];
};

const noSums = (): Sums => ({ confirmed: 0n, wasted: 0n, unknownBound: 0n, unknown: 0, unbounded: 0 });
const nothing = (): Both => ({
  prompts: 0,
  attempts: 0,
  asCharged: noSums(),
  rerated: noSums(),
  corrected: { ratedByTokens: 0, unknown: 0 },
});

export function createTally(): Tally {
  const rows = new Map<string, Row>();
  const versions = new Map<string, number>();
  return {
    add: ({ asCharged, rerated, corrected }) => {
      const { userId, model, attempts } = asCharged;
      const rowOf = (notional: boolean): Row => {
        const key = JSON.stringify([userId, model, notional]);
        const row = rows.get(key) ?? { userId, model, notional, ...nothing() };
        rows.set(key, row);
        return row;
      };
      const emulated = isEmulated(asCharged);
      rowOf(emulated).prompts += 1;
      for (const [i, attempt] of attempts.entries()) {
        const { end, nanoUsd, priceVersion } = attempt;
        if (end === 'open') continue;
        // At other prices it is the same attempt of the same caller.
        const row = rowOf(isFree(attempt) ? emulated : attempt.emulated);
        row.attempts += 1;
        addSpend(row.asCharged, byCertainty([attempt]));
        const anew = rerated.attempts.slice(i, i + 1);
        addSpend(row.rerated, byCertainty(anew));
        if (anew[0]?.ratedAnew && corrected.has(attempt.attempt))
          row.corrected[anew[0].nanoUsd === null ? 'unknown' : 'ratedByTokens'] += 1;
        if (nanoUsd !== null && priceVersion !== null)
          versions.set(priceVersion, (versions.get(priceVersion) ?? 0) + 1);
      }
    },
    rows: () => [...rows.values()].sort(inOrder),
    versions: () =>
      [...versions]
        .map(([priceVersion, attempts]) => ({ priceVersion, attempts }))
        .sort((a, b) => byText(a.priceVersion, b.priceVersion)),
  };
}

/** Surely not billed, at any price. */
const isFree = ({ usage, nanoUsd }: AttemptState): boolean => usage === null && nanoUsd === 0;

export function totalOf(rows: readonly Row[]): Both {
  const total = nothing();
  for (const row of rows) {
    total.prompts += row.prompts;
    total.attempts += row.attempts;
    addSpend(total.asCharged, row.asCharged);
    addSpend(total.rerated, row.rerated);
    total.corrected.ratedByTokens += row.corrected.ratedByTokens;
    total.corrected.unknown += row.corrected.unknown;
  }
  return total;
}

function addSpend(sums: Sums, spend: ByCertainty | Sums): void {
  sums.confirmed += BigInt(spend.confirmed);
  sums.wasted += BigInt(spend.wasted);
  sums.unknownBound += BigInt(spend.unknownBound);
  sums.unknown += spend.unknown;
  sums.unbounded += spend.unbounded;
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const inOrder = (a: Row, b: Row): number =>
  Number(a.notional) - Number(b.notional) || byText(a.userId, b.userId) || byText(a.model, b.model);
