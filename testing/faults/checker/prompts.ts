/** I1, I2: what was accepted is on record, and ends once. */
import { asksOf, type Judge, say, streamsOf, TERMINAL, type Violation } from './streams.ts';

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
    if ((read.kind !== 'read' && read.kind !== 'timeline') || read.status !== 404 || !read.promptId) continue;
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
