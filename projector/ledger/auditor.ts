/** Posts the ledger, audits it now and then, and is loud when something is found. */
import type pg from 'pg';
import { createWake } from '../../platform/wake.ts';
import { type Audit, auditLedger, postLedger } from './audit.ts';

export type AuditorOptions = {
  pool: pg.Pool;
  logger: Record<'warn' | 'error', (o: object, m: string) => void>;
  onAudit?: ((audit: Audit) => void) | undefined;
  postEveryMs?: number;
  auditEveryMs?: number;
};

export type Auditor = { start: () => void; stop: () => Promise<void> };

const POST_EVERY_MS = 1_000;
const AUDIT_EVERY_MS = 10_000;

export function createAuditor(options: AuditorOptions): Auditor {
  const { pool, logger, onAudit, postEveryMs = POST_EVERY_MS, auditEveryMs = AUDIT_EVERY_MS } = options;
  const wake = createWake();
  const stopping = new AbortController();
  let loop: Promise<void> | null = null;

  async function run(): Promise<void> {
    for (let auditedAt = performance.now(); ; ) {
      await wake.wait(postEveryMs);
      if (stopping.signal.aborted) return;
      try {
        await postLedger(pool, stopping.signal);
        if (performance.now() - auditedAt < auditEveryMs) continue;
        const audit = await auditLedger(pool, { signal: stopping.signal });
        if (!audit) continue;
        tell(audit);
        auditedAt = performance.now();
      } catch (error) {
        if (!stopping.signal.aborted) logger.warn({ err: error }, 'ledger: could not be audited, it is tried again');
      }
    }
  }

  function tell(audit: Audit): void {
    onAudit?.(audit);
    if (audit.sums === 0) return;
    const { position, sums, prompts, nanoUsd, largest } = audit;
    logger.error({ position, sums, prompts, nanoUsd, largest }, 'ledger: the sums of the read models DIFFER from it');
  }

  return {
    start: () => {
      loop ??= run();
    },
    stop: async () => {
      stopping.abort();
      wake.ring();
      await loop;
    },
  };
}
