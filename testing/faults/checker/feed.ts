/** I11: what the live feed sent, on every connection of everybody. */
import type { Evidence, FeedConnection, LoggedEvent } from '../evidence.ts';
import { type Judge, say, type Violation } from './streams.ts';

/** On each connection: positions rise, nothing is missed, nothing comes twice, unless it is told to read anew. */
export const feedIsWhole: Judge = ({ feed, database, limits, plan }) => {
  const byUser = Map.groupBy(database.log, ({ data }) => data.userId);
  const rows = new Map(database.prompts.map((row) => [row.promptId, row]));
  const each = feed.flatMap((connection) => {
    const mine = connection.isAdmin ? database.log : (byUser.get(connection.user) ?? []);
    return [
      ...positionsRise(connection),
      ...nothingMissed(connection, mine),
      ...resyncsAreDue(connection, mine, limits.feedBehind),
      ...lastIsTrue(connection, rows),
    ];
  });
  return plan.kind === 'simulation' ? each : [...each, ...nobodyIsLeftBehind(feed, byUser)];
};

const told = say('I11');

function positionsRise({ user, after, frames }: FeedConnection): Violation[] {
  const violations: Violation[] = [];
  let last = after ?? -1;
  for (const { type, position, promptId } of frames) {
    if (type !== 'event' && type !== 'position') continue;
    if (position === null || position <= last)
      violations.push(told(promptId, `${user} was sent ${position} after ${last}`));
    else last = position;
  }
  return violations;
}

function nothingMissed({ user, after, frames }: FeedConnection, mine: LoggedEvent[]): Violation[] {
  const hello = frames.find(({ type }) => type === 'hello');
  let from = after ?? hello?.position ?? null;
  if (from === null) return [];
  const violations: Violation[] = [];
  let index = firstAfter(mine, from);
  for (const { type, position, promptId } of frames) {
    if (position === null || type === 'hello' || type === 'delta') continue;
    // What the frame passes over, it says there was none.
    for (; index < mine.length && mine[index]!.position < position; index += 1) {
      if (type === 'resync') continue;
      violations.push(
        told(mine[index]!.streamId, `${user} was not sent ${mine[index]!.position}, and then ${position}`),
      );
    }
    if (index < mine.length && mine[index]!.position === position) {
      if (type === 'position')
        violations.push(told(mine[index]!.streamId, `${user} was told ${position} and not its event`));
      index += 1;
    } else if (type === 'event')
      violations.push(told(promptId, `${user} was sent ${position}, which is no event for them`));
    from = position;
  }
  return violations;
}

/** Whoever misses no more than a page's worth of pages is sent it: reading all anew is for those who miss more. */
function resyncsAreDue({ user, after, frames }: FeedConnection, mine: LoggedEvent[], most: number): Violation[] {
  let from = after ?? 0;
  return frames.flatMap(({ type, position }) => {
    if (position === null || type === 'delta') return [];
    if (type === 'hello') {
      if (after === null) from = position; // else it tells where the feed is, not what was sent
      return [];
    }
    const missed = firstAfter(mine, position) - firstAfter(mine, from);
    const early = type === 'resync' && missed <= most;
    from = Math.max(from, position);
    return early ? [told(null, `${user} was told to read anew at ${position} for ${missed} events`)] : [];
  });
}

/** A feed that falls silent shows nothing wrong: at the end everybody must have been brought to their last event. */
function nobodyIsLeftBehind(feed: FeedConnection[], byUser: Map<string, LoggedEvent[]>): Violation[] {
  const followed = new Map(feed.filter(({ brief }) => !brief).map((one) => [one.user, one]));
  const left = [...followed.values()].flatMap(({ user, isAdmin, after, frames }) => {
    const last = isAdmin
      ? Math.max(0, ...[...byUser.values()].map((events) => events.at(-1)!.position))
      : (byUser.get(user)?.at(-1)?.position ?? 0);
    // Greeted without an `after`, it starts where the greeting says; with one, the greeting brings it nowhere.
    const reached = frames.reduce(
      (most, { type, position }) => (type === 'hello' && after !== null ? most : Math.max(most, position ?? 0)),
      after ?? 0,
    );
    return reached < last || frames.length === 0
      ? [
          told(
            byUser.get(user)?.at(-1)?.streamId ?? null,
            `${user} was brought to ${reached}, and their last event is ${last}`,
          ),
        ]
      : [];
  });
  const unfollowed = [...byUser.keys()].filter((user) => !followed.has(user));
  return [...left, ...unfollowed.map((user) => told(null, `${user} has events, and had no connection`))];
}

function firstAfter(mine: LoggedEvent[], position: number): number {
  let [low, high] = [0, mine.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (mine[middle]!.position <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}

function lastIsTrue(
  { user, frames }: FeedConnection,
  rows: Map<string, Evidence['database']['prompts'][number]>,
): Violation[] {
  const last = new Map<string, FeedConnection['frames'][number]>();
  for (const frame of frames) if (frame.type === 'event' && frame.promptId) last.set(frame.promptId, frame);
  return [...last].flatMap(([id, { position, status }]) => {
    const row = rows.get(id);
    return row && row.position === position && row.status !== status
      ? [told(id, `${user} saw ${status} last, it is ${row.status}`)]
      : [];
  });
}
