/** I3, I15: what clients were told, against what is on record; by their answers, and by what they sent. */
import type { Evidence, LoggedEvent, Operation } from '../evidence.ts';
import { COMMANDS, inTime } from './in-time.ts';
import { asksOf, type Judge, say, statusesOf, streamsOf, type Violation } from './streams.ts';

const submissionsOf = ({ database }: Evidence): LoggedEvent[] =>
  database.log.filter(({ type }) => type === 'PromptSubmitted');
const nameOf = ({ user, key }: Operation): string | null => (key === null ? null : `${user}/${key}`);
/** By user and text, as it was sent: known also of asks that nobody answered. */
const textOf = (user: string, hash: string | null | undefined): string | null => (hash ? `${user}/${hash}` : null);

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
    const name = nameOf(ask);
    if (name === null) continue;
    const first = byKey.get(name);
    if (!first) byKey.set(name, { id: ask.promptId, bodyHash: ask.bodyHash });
    else if (first.bodyHash !== ask.bodyHash)
      violations.push(told(ask.promptId, `key ${name} was taken with two bodies`));
    else if (first.id !== ask.promptId) violations.push(told(ask.promptId, `key ${name} gave ${first.id} too`));
  }
  return [...violations, ...takenOnce(evidence)];
};

/** In the log itself: whatever was answered, a key has one submission, and so has what was sent once without one. */
function takenOnce(evidence: Evidence): Violation[] {
  const told = say('I3');
  const submissions = submissionsOf(evidence);
  const twice = (groups: Map<string | null, LoggedEvent[]>, what: string): Violation[] =>
    [...groups].flatMap(([name, those]) =>
      name !== null && those.length > 1
        ? [
            told(
              those[1]!.streamId,
              `${what} ${name} is in the log ${those.length} times, first as ${those[0]!.streamId}`,
            ),
          ]
        : [],
    );
  const keys = new Map<string, string>();
  for (const ask of asksOf(evidence)) {
    const [text, name] = [textOf(ask.user, ask.promptHash), nameOf(ask)];
    if (text !== null && name !== null) keys.set(text, name);
  }
  const textOfEvent = ({ data }: LoggedEvent) => textOf(data.userId, data.promptHash);
  const unhashed = submissions.filter((one) => keys.has(textOfEvent(one) ?? '') && !one.data.bodyHash);
  return [
    ...twice(
      Map.groupBy(submissions, (one) => keys.get(textOfEvent(one) ?? '') ?? null),
      'key',
    ),
    ...twice(
      Map.groupBy(submissions, ({ data }) => textOf(data.userId, data.bodyHash)),
      'body',
    ),
    ...twice(Map.groupBy(submissions, textOfEvent), 'prompt'),
    ...unhashed.map(({ streamId }) => told(streamId, 'came with a key, and without the hash of its body')),
  ];
}

const CAUSES = { cancel: 'PromptCancelled', retry: 'PromptRequeued' } as const;

/**
 * No 2xx without its event, nor before that was committed, no 4xx with one, no status that never was; what cannot be done
 * durably is 503 with a time to come again, in time, never another 5xx.
 */
export const honestAcknowledgement: Judge = (evidence) => {
  const told = say('I15');
  const violations: Violation[] = [];
  const streams = streamsOf(evidence);
  const committedAt = new Map(evidence.database.log.map((event) => [event.position, event.committedAt]));
  for (const one of evidence.operations) {
    const { kind, status, outcome, promptId, user, retryAfter, code, position, completedAt } = one;
    const first = streams.get(promptId ?? '')?.[0];
    if (kind === 'ask' && status !== null && status >= 200 && status < 300) {
      if (!promptId) violations.push(told(null, `${status} without an id, to ${user}`));
      else if (first?.type !== 'PromptSubmitted' || first.data.userId !== user)
        violations.push(told(promptId, `${status} to ${user}; submitted by ${first?.data.userId}`));
      else if (position !== first.position)
        violations.push(told(promptId, `accepted at ${position}; submitted at ${first.position}`));
    }
    const committed = COMMANDS.has(kind) && outcome === 'ok' ? committedAt.get(position ?? 0) : null;
    if (committed && completedAt + ROUNDING_MS <= committed)
      violations.push(told(promptId, `${kind} was answered ${status} ${committed - completedAt} ms before its commit`));
    if (status === 503 && !retryAfter) violations.push(told(promptId, `503 ${code} without Retry-After`));
    if (status !== null && status >= 500 && status !== 503)
      violations.push(told(promptId, `${kind} was answered ${status} ${code}`));
  }
  return [
    ...violations,
    ...inTime(evidence),
    ...refusedAndDone(evidence),
    ...changes(evidence, streams),
    ...statuses(evidence, streams),
  ];
};

/** A submission that was refused every time, and is in the log. */
function refusedAndDone(evidence: Evidence): Violation[] {
  const asks = Map.groupBy(asksOf(evidence), (one) => textOf(one.user, one.promptHash));
  return submissionsOf(evidence).flatMap(({ streamId, data }) => {
    const those = asks.get(textOf(data.userId, data.promptHash)) ?? [];
    const refused = those.length > 0 && those.every(({ outcome }) => outcome === 'fail');
    return refused ? [say('I15')(streamId, `was refused with ${those[0]!.status}, and is in the log`)] : [];
  });
}

/** Every cancel and redrive that was accepted has an event of its own; those that were refused have none. */
function changes({ operations }: Evidence, streams: Map<string, LoggedEvent[]>): Violation[] {
  const told = say('I15');
  return Object.entries(CAUSES).flatMap(([kind, type]) => {
    const asked = Map.groupBy(
      operations.filter((one) => one.kind === kind),
      ({ promptId }) => promptId ?? '',
    );
    return [...asked].flatMap(([id, those]): Violation[] => {
      const events = (streams.get(id) ?? []).filter((event) => event.type === type);
      const accepted = those.filter(({ outcome }) => outcome === 'ok');
      const places = new Set(accepted.map(({ position }) => position));
      const lost = accepted.filter(({ position }) => !events.some((event) => event.position === position));
      const refused = those.filter(({ outcome }) => outcome === 'fail');
      const unknown = those.filter(({ outcome }) => outcome === 'unknown').length;
      return [
        ...lost.map((one) => told(id, `${kind} was answered ${one.status} at ${one.position}, where no ${type} is`)),
        ...(places.size < accepted.length
          ? [told(id, `${accepted.length} times ${kind}, and ${places.size} ${type}`)]
          : []),
        ...(refused.length > 0 && events.length > accepted.length + unknown
          ? [told(id, `${kind} was refused with ${refused[0]!.status}, and is in the log`)]
          : []),
      ];
    });
  });
}

/** A status that a prompt did not have at any place of its stream was made up. */
function statuses({ operations }: Evidence, streams: Map<string, LoggedEvent[]>): Violation[] {
  return operations.flatMap(({ kind, told: status, promptId, outcome, completedAt }) => {
    if (outcome !== 'ok' || status === null || !promptId) return [];
    const events = streams.get(promptId) ?? [];
    const had = statusesOf(events).some(
      (one, i) => one === status && Date.parse(events[i]!.recordedAt) <= completedAt + ROUNDING_MS,
    );
    return had || events.length === 0 ? [] : [say('I15')(promptId, `${kind} told ${status}, which it had not been`)];
  });
}

/** Both are of this machine's clock, cut to milliseconds. */
const ROUNDING_MS = 1;
