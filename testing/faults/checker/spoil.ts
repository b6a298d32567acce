/** What spoils a good run: one event, one answer, one frame of it. */
import type { Evidence, LoggedEvent, Operation } from '../evidence.ts';

export type Spoil = (run: Evidence) => void;
export const event = (run: Evidence, id: string, type: string, nth = 1): LoggedEvent =>
  run.database.log.filter((one) => one.streamId === id && one.type === type)[nth - 1]!;
export const remove = <T>(list: T[], item: T | undefined) => void list.splice(list.indexOf(item as T), 1);
/** Appends to the log as a rogue writer would, everything else in order. */
export function append(run: Evidence, streamId: string, type: string, data: Partial<LoggedEvent['data']> = {}): void {
  const { log } = run.database;
  const own = log.filter((one) => one.streamId === streamId);
  const position = log.length + 1;
  const { userId, model } = (own[0] ?? log[0]!).data;
  log.push({
    position,
    streamId,
    version: own.length + 1,
    eventId: `e-${position}`,
    type,
    recordedAt: log.at(-1)!.recordedAt,
    committedAt: log.at(-1)!.committedAt,
    data: { userId, model, ...data },
  });
  run.database.cursor = position;
}
/** Moves an event by so many milliseconds, and nothing else. */
export function later(run: Evidence, id: string, type: string, ms: number): void {
  const one = event(run, id, type);
  one.recordedAt = new Date(Date.parse(one.recordedAt) + ms).toISOString();
}
export const of = (run: Evidence, kind: Operation['kind'], nth = 1): Operation =>
  run.operations.filter((one) => one.kind === kind)[nth - 1]!;
export const copyOf = (run: Evidence, one: LoggedEvent): void => append(run, 'p-7', 'PromptSubmitted', one.data);
export const answered = { attempt: 1, nanoUsd: 10, boundNanoUsd: null };
export const frames = (run: Evidence, user: string) => run.feed.find((one) => one.user === user)!.frames;
