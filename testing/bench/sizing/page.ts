/** The part of doc/how-to/size-it.md that is made of what was measured. */
import type { Figures, Load, Table } from './figures.ts';

export const PAGE = 'doc/how-to/size-it.md';
const BEGIN = '<!-- Written by `npm run bench -- sizing`: change it there. -->';
const END = '<!-- Until here. -->';

export const GOALS = { readySeconds: 2, twoWorkers: 1.8 };

/** Throws when the page has no such part. */
export function withPart(page: string, figures: Figures): string {
  const [before, rest] = page.split(BEGIN);
  const [, after] = rest?.split(END) ?? [];
  if (before === undefined || after === undefined) throw new Error(`${PAGE} has no part that begins with ${BEGIN}`);
  return `${before}${BEGIN}\n\n${partOf(figures)}\n${END}${after}`;
}

/** All but that part. */
export const proseOf = (page: string): string => page.replace(page.slice(page.indexOf(BEGIN), page.indexOf(END)), '');

const count = (n: number) => Math.round(n).toLocaleString('en');
const seconds = (all: number[]) => all.map((one) => one.toFixed(2)).join(', ');
const mib = (bytes: number) => `${count(bytes / 2 ** 20)} MiB`;
const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
/** Of a million prompts. */
const gigabytes = (bytesPerPrompt: number) => `${(bytesPerPrompt / 1e3).toFixed(2)} GB`;
const goal = (reached: boolean, text: string) => `${text} ${reached ? '✓' : 'missed'}`;
const table = (head: string[], rows: string[][]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

const total = ({ bytesPerPrompt, indexes }: Table): number =>
  indexes.reduce((sum, index) => sum + index.bytesPerPrompt, bytesPerPrompt);
export const bytesPerPromptOf = ({ growth }: Figures): number =>
  growth.tables.reduce((sum, one) => sum + total(one), 0);

function partOf(figures: Figures): string {
  const { date, cores, gibibytes, node, users, promptCharacters, answerCharacters, answerPieces, workers } = figures;
  return `Measured on ${date}: ${cores} cores, ${gibibytes} GiB, Node ${node}, PostgreSQL and Redis, the provider (emulated) and all
clients on the same machine. Prompts have ${count(promptCharacters)} characters, answers ${count(answerCharacters)} in ${answerPieces} pieces after ${workers.callMs} ms. Each of
${users} users follows what is theirs on a socket and reads each answer once. The services run from the files of the image, without
traces, and log as by default.

${startPart(figures)}

${workersPart(figures)}

${loadPart(figures)}

${growthPart(figures)}

${redisPart(figures)}

${examplePart(figures)}
`;
}

function startPart({ ready }: Figures): string {
  const rows = ready.map(({ service, coldSeconds, warmSeconds }) => [
    service,
    seconds(coldSeconds),
    seconds(warmSeconds),
    goal(Math.max(...coldSeconds, ...warmSeconds) <= GOALS.readySeconds, `≤ ${GOALS.readySeconds} s`),
  ]);
  return `### From start to ready

Seconds from a process’s start until its \`/readyz\` is 200, each start. *Cold* is how a container starts: the image keeps no
compiled code. *Warm* has what an earlier start compiled (\`NODE_COMPILE_CACHE\` names a folder that is kept).

${table(['service', 'cold', 'warm', 'goal'], rows)}`;
}

function workersPart({ workers: { slots, callMs, one, two, busyShare } }: Figures): string {
  const ideal = (slots * 1000) / callMs;
  const row = (n: number, rate: number) => [
    String(n),
    `${rate.toFixed(1)}/s`,
    percent(rate / (n * ideal)),
    n === 1 ? '' : goal(two / one >= GOALS.twoWorkers, `${(two / one).toFixed(2)} ×, ≥ ${GOALS.twoWorkers} ×`),
  ];
  return `### One worker, and two

A backlog is made, then workers of ${slots} slots each drain it, the model taking ${callMs} ms. With so few slots it is they that bound a
worker (${count(ideal)} prompts a second at most), not the processors: all cores were busy for ${percent(busyShare)} with two of them.

${table(['workers', 'prompts', 'of what their slots allow', 'two ÷ one'], [row(1, one), row(2, two)])}`;
}

function loadPart({ steady }: Figures): string {
  const services = steady.processes.filter(({ process }) => !SERVERS.has(process));
  const row = ({ process, idleShare, cpuSecondsPerPrompt, idleBytes, loadBytes }: Load) => [
    process,
    percent(idleShare),
    `${(cpuSecondsPerPrompt * 1000).toFixed(2)} ms`,
    count(1 / cpuSecondsPerPrompt),
    mib(idleBytes),
    mib(loadBytes),
  ];
  return `### Processors and memory

At ${count(steady.perSecond)} prompts a second for ${steady.seconds} s. A prompt’s processor time is less at higher rates: more of them share a statement.
Memory is resident, the most that was seen; of PostgreSQL’s processes together, what they share counted once.

${table(
  [
    'process',
    'idle, of a core',
    'processor time a prompt',
    'prompts a second on one core',
    'memory idle',
    'under load',
  ],
  [
    ...steady.processes.map(row),
    row(sum('**the four services**', services)),
    row(sum('**all of it**', steady.processes)),
  ],
)}`;
}

const SERVERS: ReadonlySet<string> = new Set(['PostgreSQL', 'Redis']);

function sum(process: string, all: Load[]): Load {
  const add = (of: (load: Load) => number) => all.reduce((to, one) => to + of(one), 0);
  return {
    process,
    idleShare: add((one) => one.idleShare),
    cpuSecondsPerPrompt: add((one) => one.cpuSecondsPerPrompt),
    idleBytes: add((one) => one.idleBytes),
    loadBytes: add((one) => one.loadBytes),
  };
}

function growthPart(figures: Figures): string {
  const { growth, steady } = figures;
  const rows = growth.tables.flatMap((one) => [
    [`**${one.table}**`, count(total(one)), `**${gigabytes(total(one))}**`],
    [`rows (${one.rowsPerPrompt.toFixed(1)} a prompt)`, count(one.bytesPerPrompt), gigabytes(one.bytesPerPrompt)],
    ...one.indexes.map(({ index, bytesPerPrompt }) => [
      `\`${index}\``,
      count(bytesPerPrompt),
      gigabytes(bytesPerPrompt),
    ]),
  ]);
  const others = growth.others.map(
    ({ table, rows, bytes }) => `\`${table}\` (${count(rows)} rows, ${count(bytes / 1024)} KiB)`,
  );
  return `### The database

After ${count(growth.prompts)} prompts and a VACUUM, carried on to a million:

${table(
  ['table, index', 'bytes a prompt', 'a million prompts'],
  [...rows, ['**all**', count(bytesPerPromptOf(figures)), `**${gigabytes(bytesPerPromptOf(figures))}**`]],
)}

Write-ahead log: ${count(steady.walBytesPerPrompt)} bytes a prompt, plus the pages that each checkpoint makes it write whole. The others
grow with users, models and time, or hold only what is open; with their indexes: ${others.join(', ')}.`;
}

function redisPart({ redis }: Figures): string {
  return `### Redis

${mib(redis.idleBytes)} idle. ${count(redis.waiting)} prompts that wait take ${count(redis.waitingBytes / 1024)} KiB: they wait in Postgres. The stream \`results\` keeps about
\`RESULTS_MAX_LENGTH\` entries: ${count(redis.resultsEntries)} of them took ${mib(redis.resultsBytes)}. A finished prompt that is read stays for \`CACHE_TTL_MINUTES\` and
takes ${count(redis.bytesPerCachedPrompt)} bytes.`;
}

const EXAMPLE = { promptsPerDay: 1_000_000, peak: 3, callSeconds: 10, slots: 100, cacheMinutes: 5 };

function examplePart(figures: Figures): string {
  const { promptsPerDay, peak, callSeconds, slots, cacheMinutes } = EXAMPLE;
  const perSecond = (promptsPerDay / 86_400) * peak;
  const inFlight = perSecond * callSeconds;
  const cpu = (names: (process: string) => boolean) =>
    figures.steady.processes
      .filter(({ process }) => names(process))
      .reduce((sum, one) => sum + one.cpuSecondsPerPrompt * perSecond, 0);
  const cached = perSecond * cacheMinutes * 60 * figures.redis.bytesPerCachedPrompt;
  return `### For example

${count(promptsPerDay)} such prompts a day, ${peak} times as many in the busiest hours, calls of ${callSeconds} s: ${perSecond.toFixed(0)} prompts a second, ${count(inFlight)} calls in
flight, ${Math.ceil(inFlight / slots)} workers of ${slots} slots. At the peak the four services need ${cpu((name) => !SERVERS.has(name)).toFixed(2)} cores, PostgreSQL ${cpu((name) => name === 'PostgreSQL').toFixed(2)}. The database
grows by ${gigabytes((bytesPerPromptOf(figures) * promptsPerDay) / 1e6)} a day; Redis holds ${mib(figures.redis.idleBytes + figures.redis.resultsBytes + cached)} at the peak, if each answer is read within ${cacheMinutes} minutes.`;
}
