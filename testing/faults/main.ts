/** `npm run chaos`: faults on real processes for some minutes, a line of status, and a report at the end. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { runChaos } from './chaos.ts';
import type { Mix } from './nemesis.ts';
import { report } from './report.ts';

const ROOT = join(import.meta.dirname, '../..');
const MIXES = ['redis', 'postgres', 'provider', 'process', 'machine', 'all'] as const;

const program = new Command('chaos')
  .description('Faults on a fleet of real processes under load; a checker judges the whole history.')
  .option('--seed <n>', 'of everything that is drawn', (text) => Number.parseInt(text, 10), Date.now() % 1_000_000)
  .option('--minutes <m>', 'of load and faults', Number.parseFloat, 1)
  .option('--rate <n>', 'prompts per second', Number.parseFloat, 50)
  .addOption(new Option('--mix <name>', 'faults to draw from').choices(MIXES).default('all'))
  .option('--keep', 'write the evidence to .data/chaos also when nothing is wrong')
  .parse();
const { seed, minutes, rate, mix, keep } = program.opts<{
  seed: number;
  minutes: number;
  rate: number;
  mix: Mix | 'all';
  keep?: boolean;
}>();
const command = `npm run chaos -- --seed ${seed} --minutes ${minutes} --rate ${rate} --mix ${mix}`;
console.log(command);

const show = process.stdout.isTTY ? (text: string) => process.stdout.write(`\r\x1b[2K${text}`) : () => {};
const { evidence, exitCodes } = await runChaos({
  seed,
  minutes,
  perSecond: rate,
  mixes: mix === 'all' ? [] : [mix],
  onStatus: ({ elapsedSeconds, asked, accepted, faults, current }) =>
    show(
      `${elapsedSeconds.toFixed(0)} s of ${minutes * 60} | asked ${asked}, accepted ${accepted} | faults ${faults}${current ? ` | now: ${current}` : ''}`,
    ),
  onStuck: (state) => console.error(`\nThe system does not come to rest:\n${state}`),
});
show('');
const { text, violations } = report(evidence, command);
console.log(text);
const bad = Object.entries(exitCodes).filter(([, code]) => code !== 0);
if (bad.length > 0) console.log(`\nexit codes: ${JSON.stringify(Object.fromEntries(bad))}`);
if (keep || violations.length > 0) {
  const dir = join(ROOT, '.data/chaos', `seed-${seed}`);
  mkdirSync(dir, { recursive: true });
  // A part at a time: the whole of a long run is more than one string can hold.
  for (const [name, value] of Object.entries(evidence)) writeFileSync(join(dir, `${name}.json`), JSON.stringify(value));
  console.log(`\nevidence: ${dir}`);
}
if (violations.length > 0) console.log(`\nagain: ${command}\nKeep the seed in testing/faults/regressions.ts.`);
process.exit(violations.length > 0 || bad.length > 0 ? 1 : 0);
