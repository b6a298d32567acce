/** I1, I2, I3, I15: what clients were told, against what is on record. */
import type { Evidence, Operation } from '../evidence.ts';
import { type Judge, say, streamsOf, TERMINAL, type Violation } from './streams.ts';

const asksOf = ({ operations }: Evidence): Operation[] => operations.filter(({ kind }) => kind === 'ask');

/** Every accepted prompt is in the log, and everything there ends, never with part of an answer; reads find it. */
export const noLoss: Judge = (evidence) => {
  const told = say('I1');
  const streams = streamsOf(evidence);
  const violations: Violation[] = [];
  for (const { promptId, outcome, completedAt } of asksOf(evidence)) {
    if (outcome === 'ok' && promptId && !streams.has(promptId)) {
      violations.push(
        told(promptId, `accepted with 202 at ${new Date(completedAt).toISOString()}, and not in the log`),
      );
    }
  }
  for (const [id, events] of streams) {
    const last = events.findLast(({ type }) => TERMINAL.has(type) || type === 'PromptRequeued');
    if (!last || last.type === 'PromptRequeued')
      violations.push(told(id, `does not end: its last event is ${events.at(-1)?.type}`));
  }
  const accepted = new Map(asksOf(evidence).flatMap((one) => (one.promptId ? [[one.promptId, one] as const] : [])));
  for (const read of evidence.operations) {
    if (read.kind !== 'read' || read.status !== 404 || !read.promptId) continue;
    const ask = accepted.get(read.promptId);
    if (ask && ask.user === read.user && ask.completedAt <= read.invokedAt) {
      violations.push(told(read.promptId, 'was accepted, and then not found'));
    }
  }
  const cut = new Map(
    evidence.calls.flatMap(({ attemptId, fault }) => (fault && CUT.has(fault) ? [[attemptId, fault] as const] : [])),
  );
  for (const { type, streamId, data } of evidence.database.log) {
    const fault = type === 'PromptCompleted' && cut.get(`${streamId}/${data.attempt}`);
    if (fault) violations.push(told(streamId, `is completed by an answer that was cut (${fault})`));
  }
  return violations;
};

/** Faults after which nobody has the whole answer. */
const CUT: ReadonlySet<string> = new Set([
  'cut-at-event',
  'cut-in-event',
  'reset-body',
  'malformed',
  'error-appended',
  'bad-json',
]);

/** One terminal event per generation, and nothing after it but costs and a redrive of what failed. */
export const oneTerminal: Judge = (evidence) => {
  const told = say('I2');
  const violations: Violation[] = [];
  for (const [id, events] of streamsOf(evidence)) {
    let ended: string | null = null;
    for (const { type, position } of events) {
      if (TERMINAL.has(type)) {
        if (ended) violations.push(told(id, `${type} at ${position} after ${ended} in one generation`));
        ended = type;
      } else if (type === 'PromptRequeued') {
        if (ended !== 'PromptFailed') violations.push(told(id, `redriven at ${position} after ${ended}`));
        ended = null;
      } else if (ended && type !== 'AttemptDiscarded') {
        violations.push(told(id, `${type} at ${position} after ${ended}`));
      }
    }
  }
  return violations;
};

/** One prompt per user and key; another body under it is never taken; ids are one user's. */
export const idempotentAccept: Judge = (evidence) => {
  const told = say('I3');
  const violations: Violation[] = [];
  const byKey = new Map<string, { id: string; bodyHash: string | null }>();
  const owner = new Map<string, string>();
  for (const ask of asksOf(evidence)) {
    if (ask.outcome !== 'ok' || !ask.promptId) continue;
    const holder = owner.get(ask.promptId) ?? ask.user;
    owner.set(ask.promptId, holder);
    if (holder !== ask.user) violations.push(told(ask.promptId, `was given to ${holder} and to ${ask.user}`));
    if (ask.key === null) continue;
    const name = `${ask.user}/${ask.key}`;
    const first = byKey.get(name);
    if (!first) byKey.set(name, { id: ask.promptId, bodyHash: ask.bodyHash });
    else if (first.bodyHash !== ask.bodyHash)
      violations.push(told(ask.promptId, `key ${name} was taken with two bodies`));
    else if (first.id !== ask.promptId) violations.push(told(ask.promptId, `key ${name} gave ${first.id} too`));
  }
  return violations;
};

/** No 2xx without its event; what cannot be done durably is 503 with a time to come again, never another 5xx. */
export const honestAcknowledgement: Judge = (evidence) => {
  const told = say('I15');
  const violations: Violation[] = [];
  const submitted = new Map(
    evidence.database.log
      .filter(({ type }) => type === 'PromptSubmitted')
      .map(({ streamId, data }) => [streamId, data.userId]),
  );
  for (const { kind, status, promptId, user, retryAfter, code } of evidence.operations) {
    if (kind === 'ask' && status !== null && status >= 200 && status < 300) {
      if (!promptId) violations.push(told(null, `${status} without an id, to ${user}`));
      else if (submitted.get(promptId) !== user)
        violations.push(told(promptId, `${status} to ${user}; submitted by ${submitted.get(promptId)}`));
    }
    if (status === 503 && !retryAfter) violations.push(told(promptId, `503 ${code} without Retry-After`));
    if (status !== null && status >= 500 && status !== 503)
      violations.push(told(promptId, `${kind} was answered ${status} ${code}`));
  }
  return violations;
};
