/**
 * `npm run faults`: the part of the fault runs that every change must pass, in some minutes: the matrix of cases, a disk
 * that is full and one that fails, a standby that takes over, a seeded minute of everything at once, and two mutations that
 * the checker must condemn. With names, those parts alone; another release and an older Postgres run by name only.
 */
import { type ChildProcess, execFileSync, fork, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import type { Case } from './cases/bench.ts';
import { runChaos } from './chaos.ts';
import { missedOf, type Reachable, reachable, reachedBy } from './checker/reached.ts';
import { CALM_SECONDS } from './evidence.ts';
import { runFailovers } from './failover.ts';
import { stopFleetsOnSignals } from './fleet.ts';
import { allCases, type CaseResult, runMatrix } from './matrix.ts';
import { runMutation } from './mutate.ts';
import { type Mutation, mutations } from './mutations.ts';
import { runReleases } from './releases.ts';
import { report } from './report.ts';

const ROOT = join(import.meta.dirname, '../..');
const EVERY_CHANGE = ['matrix', 'disk', 'standby', 'minute', 'mutations'];
const PARTS = [...EVERY_CHANGE, 'releases'];
const program = new Command('faults')
  .argument('[parts...]', PARTS.join(', '), EVERY_CHANGE)
  .option('--only <text>', 'matrix, releases: cases whose name has this')
  .option('--all', 'mutations: every one, not two of them')
  .option('--write', 'matrix: write the table of doc/explanation/fault-cases.md')
  .option('--fleets <n>', 'matrix, mutations: fleets that share the cases', Number, Math.min(2, availableParallelism()))
  .addOption(
    new Option('--share <k>', 'matrix: the k-th fleet, its cases told one by one').argParser(Number).hideHelp(),
  )
  .addOption(new Option('--nth <n>', 'of the mutations, this one').argParser(Number).hideHelp())
  .parse();
const parts = program.processedArgs[0] as string[];
type Options = { only?: string; all?: boolean; write?: boolean; fleets: number; share?: number; nth?: number };
const { only, all, write, fleets, share, nth } = program.opts<Options>();
stopFleetsOnSignals();
/** What a fleet tells whoever shares out the cases, and the answer where it wants one: a case's name, or that none is left. */
type Told = { wants: 'a case' } | { result: CaseResult } | { reached: Record<Reachable, number> };
type Given = { name: string | null };

let failed = false;
let since = performance.now();
/** How long each part took, for whoever has to keep all of it short. */
const ended = (part: string) => {
  console.log(`== ${part} took ${((performance.now() - since) / 1000).toFixed(0)} s`);
  since = performance.now();
};
const fail = (what: string) => {
  failed = true;
  console.error(`FAILED ${what}`);
};
const onStuck = (state: string) => console.error(state);

if (parts.includes('matrix')) {
  const wanted = allCases().filter(({ name }) => !only || name.includes(only));
  if (wanted.length === 0) fail(`no case is called ${only}`);
  const results =
    share !== undefined ? await runHere(given(wanted)) : await (wanted.length < 10 ? runHere : runInShares)(wanted);
  if (write && !failed) writeFileSync(join(ROOT, 'doc/explanation/fault-cases.md'), casesTable(results));
  if (share === undefined) ended('the matrix');
}

if (parts.includes('disk')) {
  console.log('== a full disk');
  const probe = spawnSync('unshare', ['-Urm', 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()], { encoding: 'utf8' });
  // Containers and some systems allow no such namespace; what Postgres says of a full disk is in the matrix all the same.
  if (probe.status !== 0) console.log(`not made here: ${(probe.error?.message ?? probe.stderr).trim()}`);
  else if ((await apart('unshare', ['-Urm', process.execPath], 'full-disk.ts')) !== 0) fail('the full disk');
  console.log('== a disk that does not flush');
  const traced = spawnSync('strace', ['-qq', '-o', '/dev/null', '-e', 'trace=none', 'true'], { encoding: 'utf8' });
  if (traced.status !== 0) console.log(`not made here: ${(traced.error?.message ?? traced.stderr).trim()}`);
  else if ((await apart(process.execPath, [], 'failing-fsync.ts')) !== 0) fail('the disk that does not flush');
  ended('the disk');
}

if (parts.includes('standby')) {
  console.log('== a standby of Postgres');
  for (const what of await runFailovers(onStuck)) fail(what);
  ended('the standby');
}

if (parts.includes('releases')) {
  console.log('== another release, and an older Postgres');
  for (const evidence of await runReleases({
    isWanted: (name) => !only || name.includes(only),
    onCase: tellCase,
    onStuck,
  })) {
    const { text, violations, missing } = report(evidence, 'npm run faults -- releases');
    console.log(text);
    if (violations.length > 0) fail(`they broke ${violations.length} times`);
    for (const what of missing) fail(`they did not come by ${what}`);
  }
}

if (parts.includes('minute')) {
  console.log('== a minute of everything');
  const { evidence, exitCodes } = await runChaos({
    seed: 4_711,
    minutes: 1,
    mixes: [],
    calmSeconds: CALM_SECONDS,
    perSecond: 50,
    onStatus: () => {},
    onStuck,
  });
  const { text, violations, missing } = report(evidence, 'npm run faults -- minute');
  console.log(text);
  if (violations.length > 0) fail(`the minute broke ${violations.length} times`);
  for (const what of missing) fail(`the minute did not come by ${what}`);
  for (const [name, code] of Object.entries(exitCodes)) if (code !== 0) fail(`${name} ended with ${code}`);
  ended('the minute');
}

if (parts.includes('mutations')) {
  const chosen = all ? mutations : twoOfThem();
  if (nth === undefined) console.log(`== ${chosen.length} of ${mutations.length} mutations`);
  if (nth !== undefined) await runNth(chosen[nth]!);
  else await runInTurns(chosen.length);
  if (nth === undefined) ended('the mutations');
}
process.exit(failed ? 1 : 0);

function tellCase({ name, ok, seconds, error }: CaseResult): void {
  if (ok) console.log(`ok ${seconds.toFixed(1)} s ${name}`);
  else fail(`${name}: ${error}`);
}

async function runHere(cases: Iterable<Case> | AsyncIterable<Case>): Promise<CaseResult[]> {
  const onCase = (result: CaseResult) => {
    tell({ result });
    tellCase(result);
  };
  const { evidence, results } = await runMatrix({ seed: share ?? 1, cases, onCase, onStuck });
  const { text, violations, missing } = report(evidence, 'npm run faults -- matrix');
  tell({ reached: reachedBy(evidence) });
  console.log(text);
  if (violations.length > 0) fail(`the matrix broke ${violations.length} times`);
  for (const what of missing) fail(`the matrix did not come by ${what}`);
  return results;
}

function tell(told: Told): void {
  process.send?.(told);
}

/** Cases as they are given out: whichever fleet has ended one takes the next. */
async function* given(all: Case[]): AsyncGenerator<Case> {
  for (;;) {
    const answer = once(process, 'message') as Promise<[Given]>;
    tell({ wants: 'a case' });
    const [{ name }] = await answer;
    if (name === null) return;
    yield all.find((one) => one.name === name)!;
  }
}

/** In a process of its own, which may have mounts of its own. It ends with this one: the channel tells. */
function apart(command: string, args: string[], file: string): Promise<number | null> {
  const child = spawn(command, [...args, join(import.meta.dirname, file)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return new Promise((resolve) => child.once('exit', resolve));
}

/** A case mostly waits: several fleets, each in a process of its own, have the cores busy. */
async function runInShares(wanted: Case[]): Promise<CaseResult[]> {
  console.log(`== ${wanted.length} cases on ${fleets} fleets`);
  const results: CaseResult[] = [];
  const sum = Object.fromEntries(reachable.map((name) => [name, 0])) as Record<Reachable, number>;
  // A long one that comes last would have the other fleets wait for it.
  const left = [...wanted.filter(({ isLong }) => isLong), ...wanted.filter(({ isLong }) => !isLong)];
  const hear = (child: ChildProcess) => (told: Told) => {
    if ('wants' in told) child.send({ name: left.shift()?.name ?? null } satisfies Given);
    else if ('result' in told) results.push(told.result);
    else for (const name of reachable) sum[name] += told.reached[name];
  };
  await Promise.all(
    Array.from({ length: fleets }, async (_, k) => {
      const child = fork(import.meta.filename, ['matrix', '--share', `${k + 1}`]);
      child.on('message', hear(child));
      const [code] = await once(child, 'exit');
      if (code !== 0) fail(`fleet ${k + 1} of the matrix ended with ${code}`);
    }),
  );
  for (const what of missedOf(sum, { plan: { kind: 'matrix', cases: results.length } }))
    fail(`the matrix did not come by ${what}`);
  if (results.length !== wanted.length) fail(`${wanted.length} cases, ${results.length} results`);
  return wanted.flatMap(({ name }) => results.filter((result) => result.name === name));
}

async function runNth(mutation: Mutation): Promise<void> {
  const { condemned, named, seconds, failed: cases } = await runMutation(mutation, 7);
  if (condemned) console.log(`condemned ${seconds.toFixed(0)} s ${mutation.name}: ${named.join(', ')}`);
  else {
    fail(`the checker let pass: ${mutation.name} (${mutation.why}); named: ${named.join(', ') || 'nothing'}`);
    for (const one of cases) console.error(one);
  }
}

/** As many at a time as share the cases: a fleet mostly waits. */
async function runInTurns(count: number): Promise<void> {
  let next = 0;
  const turns = Array.from({ length: fleets }, async () => {
    while (next < count) {
      const args = ['mutations', '--nth', String(next), ...(all ? ['--all'] : [])];
      next += 1;
      const child = fork(import.meta.filename, args);
      const code = await new Promise((resolve) => child.once('exit', resolve));
      if (code !== 0) fail(`${args.join(' ')} ended with ${code}`);
    }
  });
  await Promise.all(turns);
}

/** Others with every commit, so that all of them have their turn. */
function twoOfThem() {
  const commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: ROOT, encoding: 'utf8' });
  const first = Number.parseInt(commit.slice(0, 8), 16) % mutations.length;
  return [mutations[first]!, mutations[(first + 1) % mutations.length]!];
}

function casesTable(results: CaseResult[]): string {
  return `# Fault cases\n\nMade by \`npm run faults -- matrix --write\`: every case of the last run, on a fleet of real processes; each left the system idle and\nclean, and the history of all of them broke no invariant. Letters and numbers are those of the groups in\n[reliability](reliability.md); a name with a dot is a fail point of the code and what was done there.\n\n| case | result |\n|---|---|\n${results.map(({ name, ok }) => `| ${name} | ${ok ? 'passed' : 'failed'} |`).join('\n')}\n`;
}
