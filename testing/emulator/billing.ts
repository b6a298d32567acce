/** What a real provider would have charged: also for calls whose client left. */
import type { Answer } from './answer.ts';

export type BillingEntry = {
  callId: number;
  at: string;
  model: string;
  /** `x-attempt-id` of the call, if it had one. */
  attemptId: string | null;
  fault: string | null;
  status: number;
  /** The model ran: it counts, whether or not anybody read the answer. */
  billed: boolean;
  clientLeft: boolean;
  usage: Answer['usage'] | null;
};

export type ModelTotals = {
  calls: number;
  billed: number;
  inputTokens: number;
  outputTokens: number;
  thoughtTokens: number;
};

/** Entries kept; the totals count all. */
const KEPT = 100_000;

export function createBillingLog() {
  let entries: BillingEntry[] = [];
  let totals = new Map<string, ModelTotals>();
  let calls = 0;
  return {
    open: (model: string, attemptId: string | null): BillingEntry => {
      calls += 1;
      const entry: BillingEntry = {
        callId: calls,
        at: new Date().toISOString(),
        model,
        attemptId,
        fault: null,
        status: 0,
        billed: false,
        clientLeft: false,
        usage: null,
      };
      entries.push(entry);
      if (entries.length > KEPT * 1.1) entries = entries.slice(-KEPT);
      const total = totals.get(model) ?? { calls: 0, billed: 0, inputTokens: 0, outputTokens: 0, thoughtTokens: 0 };
      total.calls += 1;
      totals.set(model, total);
      return entry;
    },
    charge: (entry: BillingEntry, usage: Answer['usage']): void => {
      if (entry.billed) return;
      entry.billed = true;
      entry.usage = usage;
      const total = totals.get(entry.model);
      if (!total) return; // cleared since the call began
      total.billed += 1;
      total.inputTokens += usage.promptTokenCount;
      total.outputTokens += usage.candidatesTokenCount;
      total.thoughtTokens += usage.thoughtsTokenCount;
    },
    entries: (): readonly BillingEntry[] => entries,
    totals: (): Record<string, ModelTotals> => Object.fromEntries(totals),
    clear: (): void => {
      entries = [];
      totals = new Map();
      calls = 0;
    },
  };
}
export type BillingLog = ReturnType<typeof createBillingLog>;
