/**
 * `npm run bench`: ratios against peers, in one run on one machine, written to doc/benchmarks.md; `-- trace` checks the
 * accounts, `-- reads` times reads of a large log, written to doc/benchmarks-reads.md on demand, `-- sizing` measures what to plan with, written to doc/how-to/size-it.md.
 */
import { writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { measureAccepted } from './accepted.ts';
import { type BenchEnvironment, ROOT, startBenchEnvironment } from './environment.ts';
import { measureHops } from './hops.ts';
import { measureLiveRebuild } from './live-rebuild.ts';
import { pageOf, PAGE as READS_PAGE } from './reads/page.ts';
import { isAnswered, measureReads } from './reads.ts';
import { measureRebuild } from './rebuild.ts';
import { type Row, toMarkdown } from './report.ts';
import { PAGE } from './sizing/page.ts';
import { measureSizing } from './sizing/sizing.ts';
import { writeSizing } from './sizing/write.ts';
import { measureSocket } from './socket.ts';
import { measureTelemetry } from './telemetry.ts';
import { runTrace } from './trace.ts';

const ALL = ['accepted', 'telemetry', 'hops', 'socket', 'rebuild', 'live-rebuild'];

function toShare(text: string): number {
  const share = Number(text);
  if (!(share >= 0 && share <= 1)) throw new InvalidArgumentError('expected a share from 0 to 1');
  return share;
}

const program = new Command('bench')
  .argument('[names...]', `${ALL.join(', ')}; trace; reads; sizing`, ALL)
  .option('--prompts <n>', 'prompts through all hops; reads: prompts in the larger log', Number, 20_000)
  .option('--users <n>', 'reads: users in the larger log, one for a thousand prompts unless said', Number)
  .option('--base <n>', 'reads: prompts in the smaller log', Number, 10_000)
  .option('--ask <n>', 'reads: of each kind', Number, 200)
  .option('--only <text>', 'reads: kinds that have this in their name', '')
  .option('--archived-days <n>', 'reads: of the 60 days of the logs, so many are archived', Number, 40)
  .option('--write', `reads: write what was measured to ${READS_PAGE}`, false)
  .option('--log <n>', 'rebuild: prompts in the log', Number, 100_000)
  .option('--seconds <s>', 'of each measurement', Number, 8)
  .option('--share <share>', 'telemetry: of the traces, recorded', toShare, 0.1)
  .option('--profile <dir>', 'leave CPU profiles of the measured processes in this folder')
  .option('--speed-up <x>', 'trace: how much faster than it happened', Number, 120)
  .option('--limit <n>', 'trace: requests', Number, 19_366)
  .parse();
const options = program.opts<{
  log: number;
  prompts: number;
  users?: number;
  base: number;
  ask: number;
  only: string;
  archivedDays: number;
  write: boolean;
  seconds: number;
  share: number;
  profile?: string;
  speedUp: number;
  limit: number;
}>();
const names = program.processedArgs[0] as string[];

if (names.includes('trace')) {
  process.exit((await runTrace(options)) ? 0 : 1);
}

const runOf = () => ({
  command: `npm run bench -- ${process.argv.slice(2).join(' ')}`.replace(/ -- $/, ''),
  date: new Date().toISOString().slice(0, 10),
  machine: `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`,
});

if (names.includes('reads')) {
  const { prompts, users = prompts / 1000, base, archivedDays, ask, only, write } = options;
  if (write && only !== '') program.error(`--write: ${READS_PAGE} is of all kinds, without --only`);
  const result = await measureReads({ prompts, users, base, archivedDays, ask, only });
  if (write) {
    writeFileSync(join(ROOT, READS_PAGE), pageOf(result, runOf()));
    console.log(`${READS_PAGE} is written.`);
  }
  process.exit(isAnswered(result) ? 0 : 1);
}

/** Every measurement on servers of its own: the log of one would be the next one's backlog. */
async function measure<T>(name: string, work: (environment: BenchEnvironment) => Promise<T>): Promise<T | undefined> {
  if (!names.includes(name)) return undefined;
  const environment = await startBenchEnvironment(options.profile ?? null);
  const interrupted = () => void environment.stop().then(() => process.exit(130));
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    return await work(environment);
  } finally {
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
    await environment.stop();
  }
}

if (names.includes('sizing')) {
  await measure('sizing', async (environment) => writeSizing(await measureSizing(environment)));
  console.log(`${PAGE} is written.`);
  process.exit(0);
}

const accepted = await measure('accepted', (environment) => measureAccepted(environment, options.seconds));
const telemetry = await measure('telemetry', (environment) =>
  measureTelemetry(environment, options.seconds, options.share),
);
const hops = await measure('hops', (environment) => measureHops(environment, options.prompts));
const socket = await measure('socket', (environment) => measureSocket(environment, Math.max(5, options.seconds * 2)));

const rebuilt = await measure('rebuild', (environment) => measureRebuild(environment, options.log));
const liveRebuild = await measure('live-rebuild', (environment) => measureLiveRebuild(environment, options.log));

const rows: Row[] = [];
if (accepted) {
  const { ours, pgbench, bullmq, pgbenchClients, connections } = accepted;
  rows.push({
    what: `accepted asks (${connections} connections) ÷ pgbench’s transactions (${pgbenchClients} clients)`,
    ratio: ours / pgbench,
    goal: 2,
    floor: 1,
    detail: `${ours.toFixed(0)}/s and ${pgbench.toFixed(0)}/s`,
  });
  rows.push({
    what: 'accepted asks ÷ BullMQ `add`',
    ratio: ours / bullmq,
    goal: 1,
    detail: `${ours.toFixed(0)}/s and ${bullmq.toFixed(0)}/s`,
  });
}
if (telemetry) {
  const { connections, exports, plain, traced } = telemetry;
  rows.push({
    what: `accepted asks with traces, ${options.share * 100} % of them recorded ÷ without (${connections} connections)`,
    ratio: traced / plain,
    goal: 0.9,
    detail: `${traced.toFixed(0)}/s and ${plain.toFixed(0)}/s; ${exports} exports`,
  });
}
if (hops) {
  const { ours, graphile, pgBoss, bullmq } = hops;
  const better = Math.max(graphile.perSecond, pgBoss.perSecond);
  rows.push({
    what: `${options.prompts} prompts through all hops ÷ the better of graphile-worker and pg-boss`,
    ratio: ours / better,
    goal: 2,
    floor: 1,
    detail: `${ours.toFixed(0)}/s; graphile-worker ${graphile.perSecond.toFixed(0)}/s, pg-boss ${pgBoss.perSecond.toFixed(0)}/s`,
  });
  rows.push({
    what: 'the same ÷ BullMQ',
    ratio: ours / bullmq.perSecond,
    goal: 0.5,
    detail: `${ours.toFixed(0)}/s and ${bullmq.perSecond.toFixed(0)}/s`,
  });
}
if (socket) {
  const { p50, p99, prompts } = socket;
  rows.push({
    what: `202 to the completed prompt on the socket, p50, 100 prompts/s (${prompts} prompts)`,
    milliseconds: p50,
    goal: 10,
    floor: 30,
  });
  rows.push({ what: 'the same, p99', milliseconds: p99, goal: 40 });
}
if (rebuilt) {
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  rows.push({
    what: `${rebuilt.events} events into all read models ÷ reading and parsing them in one process`,
    ratio: rebuilt.rebuilt / rebuilt.read,
    goal: 0.5,
    detail: `${rebuilt.rebuilt.toFixed(0)}/s and ${rebuilt.read.toFixed(0)}/s`,
  });
  rows.push({
    what: 'the largest size of the rebuilding process ÷ that for a log a tenth as long',
    ratio: rebuilt.rssBytes / rebuilt.smallRssBytes,
    atMost: 1.25,
    detail: `${mib(rebuilt.rssBytes)} and ${mib(rebuilt.smallRssBytes)}`,
  });
}

if (liveRebuild) {
  const { before, during, events, seconds } = liveRebuild;
  for (const share of ['p50', 'p99'] as const)
    rows.push({
      what: `202 to the socket, ${share}, while ${events} events are rebuilt (${seconds.toFixed(0)} s, killed once) ÷ before`,
      ratio: during[share] / before[share],
      atMost: 1.5,
      detail: `${during[share].toFixed(1)} and ${before[share].toFixed(1)} ms, ${during.prompts} and ${before.prompts} prompts`,
    });
}

const text = toMarkdown(rows, runOf());
console.log(text);
if (names.length === ALL.length) writeFileSync(join(ROOT, 'doc/benchmarks.md'), text);
