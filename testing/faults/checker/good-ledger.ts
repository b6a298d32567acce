/** The ledger of a log, as a sound projector has posted it: for the checker's tests, which spoil one of the two. */
import type { Ledger, LedgerAccount, LedgerEntry, LoggedEvent } from '../evidence.ts';

export function ledgerOf(log: LoggedEvent[]): Ledger {
  const entries = new Map<string, LedgerEntry>();
  const accounts = new Map<string, LedgerAccount>();
  for (const { streamId, type, position, data } of log) {
    const { userId, model, attempt, nanoUsd, boundNanoUsd = null } = data;
    const account = accounts.get(`${userId}/${model}`) ?? emptyAccount(userId, model);
    accounts.set(`${userId}/${model}`, account);
    if (type === 'PromptSubmitted') account.prompts += 1;
    const name = `${streamId}/${attempt}`;
    if (type === 'AttemptStarted') {
      entries.set(name, {
        promptId: streamId,
        attempt: attempt!,
        userId,
        model,
        state: 'reserved',
        nanoUsd: null,
        boundNanoUsd,
        reservedPosition: position,
        settledPosition: null,
      });
    }
    const entry = entries.get(name);
    if (!entry || nanoUsd === undefined) continue;
    entry.nanoUsd ??= nanoUsd;
    entry.boundNanoUsd = entry.nanoUsd === null ? boundNanoUsd : null;
    entry.settledPosition = position;
    entry.state = settledAs(entry.nanoUsd, type === 'PromptCompleted');
  }
  for (const { userId, model, state, nanoUsd, boundNanoUsd } of entries.values()) {
    const account = accounts.get(`${userId}/${model}`)!;
    if (state === 'reserved') account.reserved += boundNanoUsd ?? 0;
    if (state === 'unknown') account.unknownBound += boundNanoUsd ?? 0;
    if (state === 'confirmed' || state === 'wasted') account[state] += nanoUsd ?? 0;
  }
  const position = log.at(-1)?.position ?? 0;
  return { position, entries: [...entries.values()], accounts: [...accounts.values()], differencesTold: 0 };
}

function settledAs(nanoUsd: number | null, isAnswer: boolean): string {
  if (nanoUsd === null) return 'unknown';
  if (isAnswer) return 'confirmed';
  return nanoUsd === 0 ? 'void' : 'wasted';
}

const emptyAccount = (userId: string, model: string): LedgerAccount => ({
  userId,
  model,
  prompts: 0,
  reserved: 0,
  confirmed: 0,
  wasted: 0,
  unknownBound: 0,
});
