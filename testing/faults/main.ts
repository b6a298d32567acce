/** `npm run chaos`: faults on real processes for some minutes, a line of status, and a report at the end. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { runChaos } from './chaos.ts';
import { CALM_SECONDS, type Evidence } from './evidence.ts';
import { stopFleetsOnSignals } from './fleet.ts';
import type { Mix } from './nemesis.ts';
import { regressions } from './regressions.ts';
import { report } from './report.ts';

const ROOT = join(import.meta.dirname, '../..');
const MIXES = ['redis', 'postgres', 'provider', 'process', 'machine', 'all'] as const;

const program = new Command('chaos')
  .description('Faults on a fleet of real processes under load; a checker judges the whole history.')
  .option('--seed <n>', 'of everything that is drawn', (text) => Number.parseInt(text, 10), Date.now() % 1_000_000)
  .option('--minutes <m>', 'of load and faults', Number.parseFloat, 1)
  .option('--rate <n>', 'prompts per second', Number.parseFloat, 50)
  .option('--calm <s>', 'the longest pause between two faults, in seconds', Number.parseFloat, CALM_SECONDS)
  .addOption(new Option('--mix <name>', 'faults to draw from').choices(MIXES).default('all'))
  .option('--keep', 'write the evidence to .data/chaos also when nothing is wrong')
  .option('--regressions', 'run the seeds again that failed once')
  .parse();
type Options = {
  seed: number;
  minutes: number;
  rate: number;
  calm: number;
  mix: Mix | 'all';
  keep?: boolean;
  regressions?: boolean;
};
const options = program.opts<Options>();
stopFleetsOnSignals();

const wanted = options.regressions ? regressions.map((one) => ({ ...options, ...one })) : [options];
let broken = 0;
for (const one of wanted) if (!(await run(one))) broken += 1;
process.exit(broken > 0 ? 1 : 0);

async function run({ seed, minutes, rate, calm, mix, keep }: Options): Promise<boolean> {
  const command = `npm run chaos -- --seed ${seed} --minutes ${minutes} --rate ${rate} --mix ${mix} --calm ${calm}`;
  console.log(command);
  const { evidence, exitCodes } = await runChaos({
    seed,
    minutes,
    perSecond: rate,
    calmSeconds: calm,
    mixes: mix === 'all' ? [] : [mix],
    onStatus: ({ elapsedSeconds, asked, accepted, faults, current }) =>
      show(
        Math.round(elapsedSeconds),
        `${elapsedSeconds.toFixed(0)} s of ${minutes * 60} | asked ${asked}, accepted ${accepted} | faults ${faults}${current ? ` | now: ${current}` : ''}`,
      ),
    onStuck: (state) => console.error(`\nThe system does not come to rest:\n${state}`),
  });
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[2K');
  const { text, violations, missing } = report(evidence, command);
  console.log(text);
  const bad = Object.entries(exitCodes).filter(([, code]) => code !== 0);
  if (bad.length > 0) console.log(`\nexit codes: ${JSON.stringify(Object.fromEntries(bad))}`);
  if (keep || violations.length > 0 || missing.length > 0) keepEvidence(evidence);
  if (violations.length > 0) console.log(`\nagain: ${command}\nKeep the seed in testing/faults/regressions.ts.`);
  if (missing.length > 0) console.log('\nThe run did not come by what it was to test.');
  return violations.length === 0 && missing.length === 0 && bad.length === 0;
}

/** One line that is written over in a terminal; a line now and then elsewhere. */
function show(seconds: number, text: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[2K${text}`);
  else if (seconds % 30 === 0) console.log(text);
}

/** A part at a time: the whole of a long run is more than one string can hold. */
function keepEvidence(evidence: Evidence): void {
  const dir = join(ROOT, '.data/chaos', `seed-${evidence.seed}`);
  mkdirSync(dir, { recursive: true });
  for (const [name, value] of Object.entries(evidence)) writeFileSync(join(dir, `${name}.json`), JSON.stringify(value));
  console.log(`\nevidence: ${dir}`);
}
