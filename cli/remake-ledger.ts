/** `npm run replay -- --projection ledger`: the ledger made anew beside the one that is served, and what came of it. */
import type { Config } from '../platform/config/load.ts';
import type { LedgerDifference } from '../projector/ledger/next.ts';
import { type Remade, remakeLedger, sumsDiffering } from '../projector/ledger/remake.ts';
import { TRIES, whenFree } from '../projector/rebuild/by-tool.ts';
import { printable } from './printable.ts';
import { progressLines } from './progress-lines.ts';
import { archiveDirOf, postgresUri } from './target.ts';

export type LedgerOptions = { dryRun: boolean; anew: boolean; archive?: string };

/** Tells what it has found; the exit code is 1 where something is not as it should be. */
export async function remakeLedgerByTool(config: Config, options: LedgerOptions): Promise<void> {
  const { dryRun, anew, archive } = options;
  const connections = { uri: postgresUri(config), max: 3 };
  const { sums, ...remade } = await whenFree(TRIES, connections, async (pool, signal) => ({
    ...(await remakeLedger(pool, {
      dryRun,
      anew,
      archiveDir: archive ?? archiveDirOf(config),
      onProgress: progressLines(() => 'a ledger that is half made'),
      signal,
    })),
    sums: dryRun ? null : await sumsDiffering(pool, signal),
  }));
  console.log(sentence(remade));
  for (const one of remade.largest) console.log(`  ${line(one)}`);
  if (sums !== null)
    console.log(
      sums === 0 ? 'All sums of the read models agree with it.' : `${sums} sums of the read models DIFFER from it.`,
    );
  if (remade.outcome === 'dropped' || (sums ?? 0) > 0) process.exitCode = 1;
}

function sentence({ outcome, position, entries, entriesNanoUsd, accounts, accountsNanoUsd }: Remade): string {
  const at = `The ledger at position ${position}`;
  if (outcome === 'equal') return `${at} is what the log gives.`;
  const what = `${entries} entries, by ${entriesNanoUsd} nano-USD, and ${accounts} accounts, by ${accountsNanoUsd} nano-USD`;
  return outcome === 'served'
    ? `${at} is what the log gives now: put right were ${what}.`
    : `${at} DIFFERS from what the log gives in ${what}: nothing was changed (--dry-run).`;
}

function line({ what, promptId, attempt, userId, model, nanoUsd, fields }: LedgerDifference): string {
  const of = what === 'entry' ? `entry ${promptId}/${attempt} of` : 'account of';
  return `${of} ${printable(userId)}, ${printable(model)}, by ${nanoUsd}: ${differing(fields)}`;
}

/** Of what is missing on one side, what the other has of it. */
const TOLD = ['state', 'prompts', 'nano_usd', 'bound_nano_usd'];
const SUMS = ['reserved_nano_usd', 'confirmed_nano_usd', 'wasted_nano_usd', 'unknown_bound_nano_usd'];

function differing(fields: LedgerDifference['fields']): string {
  const side = (of: 0 | 1) =>
    [...TOLD, ...SUMS]
      .filter((name) => fields[name]?.[of])
      .map((name) => `${name} ${text(fields[name]?.[of])}`)
      .join(', ');
  if (fields.model?.[0] === null) return `missing, by the log ${side(1)}`;
  if (fields.model?.[1] === null) return `${side(0)}, by the log missing`;
  return Object.entries(fields)
    .map(([name, [served, log]]) => `${name} ${text(served)}, by the log ${text(log)}`)
    .join('; ');
}

const text = (value: unknown): string => (value === null ? 'none' : printable(String(value)));
