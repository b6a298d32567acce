/** The ledger at the end of a run, as the projectors of the run have posted it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ledger, LedgerAccount, LedgerEntry } from './evidence.ts';
import type { Fleet } from './fleet.ts';

const ENTRIES = `SELECT prompt_id AS "promptId", attempt, user_id AS "userId", model, state, nano_usd AS "nanoUsd",
  bound_nano_usd AS "boundNanoUsd", reserved_position AS "reservedPosition", settled_position AS "settledPosition"
  FROM ledger_entry ORDER BY reserved_position`;
const ACCOUNTS = `SELECT user_id AS "userId", model, prompts, reserved_nano_usd AS reserved, confirmed_nano_usd AS confirmed,
  wasted_nano_usd AS wasted, unknown_bound_nano_usd AS "unknownBound" FROM ledger_account ORDER BY user_id, model`;

/** They post it once a second; one that stands still is for the checker. */
const POSTED_WITHIN_MS = 10_000;

export async function untilPosted(fleet: Fleet): Promise<void> {
  const deadline = Date.now() + POSTED_WITHIN_MS;
  const behind = async () => {
    const [row] = await fleet.query<{ left: number }>(
      'SELECT h.position - l.position AS left FROM log_head h, ledger_head l',
    );
    return row?.left !== 0;
  };
  while ((await behind()) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
}

export async function collectLedger({ query, logDir }: Fleet): Promise<Ledger> {
  const [head] = await query<{ position: number }>('SELECT position FROM ledger_head');
  const files = readdirSync(logDir).filter((file) => file.startsWith('projector'));
  const differences = files.map((file) =>
    readFileSync(join(logDir, file), 'utf8').match(/ledger: the sums of the read models DIFFER/g),
  );
  return {
    position: head?.position ?? -1,
    entries: await query<LedgerEntry>(ENTRIES),
    accounts: await query<LedgerAccount>(ACCOUNTS),
    differencesTold: differences.reduce((sum, found) => sum + (found?.length ?? 0), 0),
  };
}
