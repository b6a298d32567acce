/** Judges a run by its evidence alone: a pure function, so that a run can be judged again, and the judge be tested. */
import type { Evidence } from '../evidence.ts';
import { attemptBeforeCall, fencing } from './attempts.ts';
import { costOnce } from './costs.ts';
import { duplicateBudget } from './duplicates.ts';
import { feedIsWhole } from './feed.ts';
import { bounds, liveness, secrets } from './machine.ts';
import { honestAcknowledgement, idempotentAccept } from './promises.ts';
import { noLoss, oneTerminal } from './prompts.ts';
import { readYourWrites } from './reads.ts';
import type { Judge, Violation } from './streams.ts';
import { isolation, order, projectionIsFold } from './views.ts';

export const invariants = {
  I1: { title: 'No loss', judge: noLoss },
  I2: { title: 'One terminal state per generation', judge: oneTerminal },
  I3: { title: 'Idempotent accept', judge: idempotentAccept },
  I4: { title: 'Attempt on record before its call', judge: attemptBeforeCall },
  I5: { title: 'Fencing', judge: fencing },
  I6: { title: 'Cost once', judge: costOnce },
  I7: { title: 'Duplicate calls explained', judge: duplicateBudget },
  I8: { title: 'Projection equals fold', judge: projectionIsFold },
  I9: { title: 'Order', judge: order },
  I10: { title: 'Isolation of users', judge: isolation },
  I11: { title: 'Feed without gap or repeat', judge: feedIsWhole },
  I12: { title: 'Comes to rest', judge: liveness },
  I13: { title: 'Bounds', judge: bounds },
  I14: { title: 'Secrets kept', judge: secrets },
  I15: { title: 'Honest acknowledgement', judge: honestAcknowledgement },
  I16: { title: 'Reads do not go back', judge: readYourWrites },
} as const satisfies Record<string, { title: string; judge: Judge }>;
export type InvariantId = keyof typeof invariants;

export const check = (evidence: Evidence): Violation[] =>
  Object.values(invariants).flatMap(({ judge }) => judge(evidence));

const MOST_LINES = 80;

/** One prompt's way, everything that is known of it in the order of time. */
export function witness(evidence: Evidence, promptId: string): string {
  const at = (time: number, text: string) => ({ time, text });
  const events = evidence.database.log.filter(({ streamId }) => streamId === promptId);
  const [from, to] = [
    Date.parse(events[0]?.recordedAt ?? '') - 10_000,
    Date.parse(events.at(-1)?.recordedAt ?? '') + 10_000,
  ];
  const lines = [
    ...evidence.operations
      .filter((one) => one.promptId === promptId)
      .map((one) =>
        at(one.completedAt, `${one.user}: ${one.kind} → ${one.status ?? 'no answer'} ${one.code ?? one.told ?? ''}`),
      ),
    ...evidence.calls
      .filter((one) => one.attemptId?.startsWith(`${promptId}/`))
      .map((one) =>
        at(
          one.at,
          `provider: attempt ${one.attemptId?.split('/')[1]} → ${one.status} ${one.fault ?? ''} billed ${one.billed ? one.nanoUsd : 'nothing'}`,
        ),
      ),
    ...events.map(({ recordedAt, type, position, data }) => {
      const { attempt, end, code, nanoUsd, boundNanoUsd, token } = data;
      return at(
        Date.parse(recordedAt),
        `log ${position}: ${type} ${JSON.stringify({ attempt, end, code, nanoUsd, boundNanoUsd, token })}`,
      );
    }),
    ...evidence.impairments
      .filter(({ at: begun, until }) => until >= from && begun <= to)
      .map((one) =>
        at(one.at, `${one.instance}${one.pid ? ` (pid ${one.pid})` : ''}: ${one.what} for ${one.until - one.at} ms`),
      ),
    ...evidence.faults
      .filter((one) => one.until >= from && one.at <= to)
      .map((one) => at(one.at, `fault: ${one.kind} (${one.hits}) for ${one.until - one.at} ms`)),
  ];
  return lines
    .sort((a, b) => a.time - b.time)
    .slice(-MOST_LINES)
    .map(({ time, text }) => `  ${new Date(time).toISOString()} ${text}`)
    .join('\n');
}
