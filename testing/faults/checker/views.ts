/** I8, I9, I10: what is read and pushed, against the log. */
import type { LoggedEvent } from '../evidence.ts';
import { foldsOf, type Judge, say, type Violation } from './streams.ts';

/** Read models are what the log folds to, row by row, and the same when they are made anew. */
export const projectionIsFold: Judge = ({ database, ...rest }) => {
  const evidence = { database, ...rest };
  const told = say('I8');
  const violations: Violation[] = [];
  const { live, rebuilt } = database.checksums;
  const tables = new Set([...Object.keys(live), ...Object.keys(rebuilt)]);
  if (tables.size === 0) violations.push(told(null, 'no table was compared'));
  for (const table of tables) {
    if (live[table] !== rebuilt[table])
      violations.push(told(null, `${table}: ${live[table]} live, ${rebuilt[table]} rebuilt`));
  }
  const parked = new Set(database.parkedStreams);
  const folds = foldsOf(evidence);
  const rows = new Map(database.prompts.map((row) => [row.promptId, row]));
  for (const [id, fold] of folds) {
    if (parked.has(id)) continue;
    const row = rows.get(id);
    if (!row) violations.push(told(id, 'has no row in the read model'));
    else if (
      row.status !== fold.status ||
      row.attempts !== fold.attempts.length ||
      row.userId !== fold.userId ||
      row.position !== fold.last.position
    ) {
      violations.push(
        told(
          id,
          `is ${row.status} after ${row.attempts} attempts at ${row.position}, by the log ${fold.status} after ${fold.attempts.length} at ${fold.last.position}`,
        ),
      );
    }
  }
  for (const id of rows.keys())
    if (!folds.has(id)) violations.push(told(id, 'is in the read model and not in the log'));
  return violations;
};

/** Gapless in position and in version; time, commits and cursor go with it. */
export const order: Judge = ({ database }) => {
  const told = say('I9');
  const violations: Violation[] = [];
  const versions = new Map<string, number>();
  const ids = new Set<string>();
  let before: LoggedEvent | null = null;
  for (const event of database.log) {
    const expected = (before?.position ?? 0) + 1;
    if (event.position !== expected)
      violations.push(told(event.streamId, `position ${event.position} where ${expected} was due`));
    const version = (versions.get(event.streamId) ?? 0) + 1;
    if (event.version !== version)
      violations.push(told(event.streamId, `version ${event.version} where ${version} was due`));
    versions.set(event.streamId, event.version);
    if (before && event.recordedAt < before.recordedAt)
      violations.push(told(event.streamId, `${event.position} is older than its forerunner`));
    if ((before?.committedAt ?? 0) > (event.committedAt ?? Number.POSITIVE_INFINITY))
      violations.push(told(event.streamId, `${event.position} was committed before its forerunner`));
    if (ids.has(event.eventId)) violations.push(told(event.streamId, `event id ${event.eventId} stands twice`));
    ids.add(event.eventId);
    before = event;
  }
  if (database.cursor !== (before?.position ?? 0))
    violations.push(told(null, `the cursor is at ${database.cursor}, the log at ${before?.position ?? 0}`));
  return violations;
};

/** Nobody is ever sent another one's words. */
export const isolation: Judge = ({ operations, feed }) => {
  const told = say('I10');
  return [
    ...operations.flatMap(({ user, canariesOf, promptId, kind }) =>
      canariesOf
        .filter((one) => one !== user)
        .map((one) => told(promptId, `${kind} showed words of ${one} to ${user}`)),
    ),
    ...feed
      .filter(({ isAdmin }) => !isAdmin)
      .flatMap(({ user, frames }) =>
        frames.flatMap(({ canariesOf, promptId }) =>
          canariesOf
            .filter((one) => one !== user)
            .map((one) => told(promptId, `a frame showed words of ${one} to ${user}`)),
        ),
      ),
  ];
};
