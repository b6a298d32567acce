/** I16: whoever was told a position and asks for it is never shown what was before it. */
import { LONGEST_PAGE, type LoggedEvent, type Operation } from '../evidence.ts';
import { type Judge, say, statusesOf, streamsOf, type Violation } from './streams.ts';

export const readYourWrites: Judge = (evidence) => {
  const told = say('I16');
  const streams = streamsOf(evidence);
  const statuses = new Map([...streams].map(([id, events]) => [id, statusesOf(events)]));
  const head = evidence.database.log.at(-1)?.position ?? 0;

  /** A prompt as it was told, against its stream. */
  function row(what: string, { promptId, position, status }: Operation['rows'][number], least: number): Violation[] {
    const events = streams.get(promptId) ?? [];
    const at = events.findIndex((event) => event.position === position);
    if (at === -1) return [told(promptId, `${what} told position ${position}, which is none of its events`)];
    const violations: Violation[] = [];
    if (statuses.get(promptId)![at] !== status)
      violations.push(told(promptId, `${what} told ${status} at ${position}, it was ${statuses.get(promptId)![at]}`));
    const due = lastUpTo(events, least);
    if (position < due) violations.push(told(promptId, `${what} told ${position}, ${due} was asked for`));
    return violations;
  }

  /** Not in the newest prompts of its user, though no full page of newer ones was shown. */
  function isMissing(promptId: string, shown: string[]): boolean {
    const submittedAt = (id: string) => streams.get(id)?.[0]?.recordedAt ?? '';
    const oldest = shown.at(-1);
    const isFull = shown.length >= LONGEST_PAGE && oldest !== undefined;
    return !shown.includes(promptId) && !(isFull && submittedAt(promptId) <= submittedAt(oldest));
  }

  return evidence.operations.flatMap((one): Violation[] => {
    const { kind, status, promptId, minPosition, position, rows, told: state } = one;
    if (status !== 200) return [];
    const least = minPosition ?? 0;
    if (kind === 'read' && promptId && position !== null && state !== null)
      return row('a read', { promptId, position, status: state }, least);
    if (kind === 'list') {
      const missing =
        promptId !== null &&
        least > 0 &&
        isMissing(
          promptId,
          rows.map((each) => each.promptId),
        );
      return [
        ...rows.flatMap((each) => row('a list', each, least)),
        ...(missing ? [told(promptId, `a list that was asked for ${least} does not have it`)] : []),
      ];
    }
    if (kind === 'timeline' && promptId) return timeline(promptId, rows, least);
    if (kind === 'stats' && (position === null || position < least || position > head))
      return [told(null, `statistics are of ${position}, ${least} was asked for, the log ends at ${head}`)];
    return [];
  });

  /** The first events of the stream, and all up to what was asked for. */
  function timeline(promptId: string, rows: Operation['rows'], least: number): Violation[] {
    const events = streams.get(promptId) ?? [];
    const odd = rows.findIndex(({ position, status }, i) => {
      const event = events[i];
      return event?.position !== position || event.type !== status;
    });
    if (odd !== -1)
      return [told(promptId, `its timeline has ${rows[odd]!.status} at ${rows[odd]!.position} in place ${odd + 1}`)];
    const due = lastUpTo(events, least);
    return (rows.at(-1)?.position ?? 0) < due
      ? [told(promptId, `its timeline ends at ${rows.at(-1)?.position ?? 0}, ${due} was asked for`)]
      : [];
  }
};

const lastUpTo = (events: LoggedEvent[], position: number): number =>
  events.findLast((event) => event.position <= position)?.position ?? 0;
