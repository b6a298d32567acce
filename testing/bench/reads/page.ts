/** doc/benchmarks-reads.md: what a run measured, and how to have it again. */
import { gigabytes, type TableSize } from './disk.ts';
import { count, GOALS, type Measured, overIn, tableOf } from './table.ts';

export const PAGE = 'doc/benchmarks-reads.md';

export type Result = {
  measured: Measured[];
  /** Prompts of each log, and users of the large one; of each kind, so many were asked. */
  small: number;
  large: number;
  users: number;
  /** Of the small log whose users ask as much as those of the large one. */
  fewUsers: number;
  days: number;
  archivedDays: number;
  ask: number;
  events: number;
  /** Events up to here are archived. */
  floor: number;
  /** Of the large log, loaded and analysed. */
  seconds: number;
  tables: TableSize[];
  archiveBytes: number;
  /** Processes that ran or waited for a core over five minutes, before anything was started. */
  others: number;
  /** The most that all databases, their files of sorts and all archives took. */
  mostBytes: number;
};
export type RunOf = { command: string; date: string; machine: string };

/** A part of the whole that is not told by itself. */
const SMALL_SHARE = 0.005;

export function summaryOf({
  measured,
  large,
  events,
  floor,
  seconds,
  tables,
  archiveBytes,
  mostBytes,
}: Result): string {
  const bytes = tables.reduce((sum, one) => sum + one.bytes, archiveBytes);
  const [again, first] = [overIn('again', measured), overIn('first', measured)].map((kinds) => kinds.length);
  return `${count(large)} prompts, ${count(events)} events, ${count(floor)} of them archived: ${gigabytes(bytes)}, at most ${gigabytes(mostBytes)} on the way, loaded in ${seconds.toFixed(0)} s (${((seconds * 1e6) / large).toFixed(0)} s a million prompts).
${measured.length} kinds of reads: ${again} over ${GOALS.ratio} × or ${GOALS.p99Ms} ms, ${first} the first time.`;
}

export function tablesOf(result: Result): string {
  const parts = [
    [`Over everybody, beside ${count(result.small)} prompts of ${count(result.users)} users`, 'all'],
    [
      `About one user, prompt or conversation, beside ${count(result.small)} prompts of ${count(result.fewUsers)} users`,
      'one',
    ],
  ] as const;
  return parts
    .map(([title, about]) => [title, result.measured.filter((one) => one.about === about)] as const)
    .filter(([, measured]) => measured.length > 0)
    .map(([title, measured]) => `## ${title}\n\n${tableOf(measured, result)}`)
    .join('\n\n');
}

function diskOf({ tables, archiveBytes, floor, large }: Result): string {
  const all = [...tables, ...(floor > 0 ? [{ table: 'archive, as files', bytes: archiveBytes }] : [])];
  const sum = all.reduce((bytes, one) => bytes + one.bytes, 0);
  const told = all.filter(({ bytes }) => bytes >= sum * SMALL_SHARE).toSorted((a, b) => b.bytes - a.bytes);
  const rest = sum - told.reduce((bytes, one) => bytes + one.bytes, 0);
  const rows = [...told, { table: 'all others', bytes: rest }, { table: '**all**', bytes: sum }].map(
    ({ table, bytes }) => `| ${table} | ${count(Math.round(bytes / large))} | ${gigabytes(bytes)} |`,
  );
  return `| table, with its indexes | bytes a prompt | here |\n|---|---|---|\n${rows.join('\n')}`;
}

export function pageOf(result: Result, { command, date, machine }: RunOf): string {
  const { small, large, users, fewUsers, days, archivedDays, ask } = result;
  const archived =
    archivedDays === 0
      ? 'Nothing is archived.'
      : `The first ${archivedDays} of the ${days} days are archived in each of them, as \`npm run archive\` does it: their events are in files,
  and a look back goes as far as the other ${days - archivedDays} days; what is asked beyond is answered with 410.`;
  return `# Reads of a large log

Written by \`${command}\` on ${date}: ${machine}. Everything runs on this one machine, what asks included;
only ratios mean something where it does other work meanwhile: when this began, ${result.others.toFixed(1)} other processes were at work (its load
average; below 0.5 the machine was idle), and times of a busy one are those of waiting. The goals: at most ${GOALS.ratio} × the time, p99 at most ${GOALS.p99Ms} ms.

${summaryOf(result)}

${tablesOf(result)}

## What is loaded

- The large log is one of ${count(small)} prompts over ${days} days, multiplied: each of ${count(large / small)} copies has prompts and users of its own, is somewhat
  later than the one before, and comes with its read models, its ledger and its archive. Before that three copies are compared with
  what the product makes of the same events: read models by a rebuild, byte for byte, the ledger by posting, the archive by
  \`npm run archive\`.
- It is read beside two logs of ${count(small)} prompts. What is over everybody is compared with as many users, ${count(users)}: a list of users
  is as long then. What is about one user is compared with ${count(fewUsers)} users, the log that is multiplied: each of them has asked as
  much as one of the large log's.
- ${archived}
- Prompts are short, of 3 to 8 words and two more, answers of 6 to 16. A few of the users of a copy ask most; five prompts of a user
  follow each other and are a conversation. In the small log of as many users each asks as much as any other, and no conversation.

## How it is asked

Each log by a query-api of its own that keeps no answers, all of one PostgreSQL (1 GB of shared buffers) and one after another,
kind by kind. Of each kind ${ask} requests about places that are drawn from a seed: once for the *first time*, then the same again, which the
first columns tell, then the same four at a time. A pass ends after 15 s, if not all were asked by then. The first kinds after loading
find little in memory.

To have it again: \`${command.replace(/ --write\b/, '')}\`, in a clone and with nothing but Node. \`--write\` writes this page;
\`--prompts\` and \`--users\` load others, \`--archived-days 0\` archives nothing, \`--only stats/users\` asks some of the kinds. It refuses
to load when the disk has not the room, telling how much is needed, and deletes everything at its end.

## What it takes

${diskOf(result)}

At most ${gigabytes(result.mostBytes)} were in use on the way, with the small logs, sorts and write-ahead log. Loading took ${result.seconds.toFixed(0)} s.
`;
}
