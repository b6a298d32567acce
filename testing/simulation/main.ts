/** `npm run simulate`: seeds in virtual time; ends with what they came by, and fails when they came by too little. */
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import type { Answer, Order } from './share.ts';

const number = (text: string) => Number.parseFloat(text);
const program = new Command('simulate')
  .description('Relay, worker, sweeper and projector over servers in memory, in virtual time.')
  .option('--seeds <n>', 'how many', number, 300)
  .option('--from <seed>', 'the first', number, 1)
  .option('--hours <h>', 'of virtual time in each', number, 0.25)
  .option('--prompts <n>', 'in each', number, 150)
  .option('--jobs <n>', 'processes that share the seeds', number, availableParallelism())
  .parse();
type Options = Record<'seeds' | 'from' | 'hours' | 'prompts' | 'jobs', number>;
const { seeds, from, hours, prompts, jobs } = program.opts<Options>();

/** What many seeds must have reached: a rule nobody came to is a rule nobody tested. */
const SOMETIMES = [
  'leases lost',
  'late answers adopted',
  'outcomes of no use any more',
  'costs known after all',
  'an append found itself on record',
  'a projector lost its compare-and-set',
  'an answer was spooled',
  'answers of an earlier process',
  'sweeper: entries that Redis lost are dispatched again',
  'sweeper: entries that nobody could read are taken away',
  'parked',
  'expired',
  'cancel',
  'redrive',
];
const MANY = 200;

const startedAt = performance.now();
const total: Record<string, number> = {};
const add = (counters: Record<string, number>) => {
  for (const [name, count] of Object.entries(counters)) total[name] = (total[name] ?? 0) + count;
};
let next = from;
let done = 0;
let broken = 0;
await Promise.all(Array.from({ length: Math.max(1, Math.min(jobs, seeds)) }, share));

/** One process, given a seed at a time until there are none left. */
async function share(): Promise<void> {
  const child = fork(join(import.meta.dirname, 'share.ts'));
  const simulated = (order: Order) =>
    new Promise<Answer>((resolve, reject) => {
      const gone = (code: number | null) => reject(new Error(`seed ${order.seed}: its process ended with ${code}`));
      child.once('exit', gone);
      child.once('message', (answer: Answer) => {
        child.off('exit', gone);
        resolve(answer);
      });
      child.send(order);
    });
  while (next < from + seeds) {
    const seed = next;
    next += 1;
    judge(await simulated({ seed, hours, prompts }));
  }
  child.disconnect();
}

function judge(run: Answer): void {
  done += 1;
  add({ ...run.counters, prompts: run.prompts, calls: run.calls, faults: run.faults });
  if (run.violations.length > 0) {
    broken += 1;
    for (const { invariant, promptId, message } of run.violations.slice(0, 5))
      console.error(`seed ${run.seed}: ${invariant} ${promptId ?? ''} ${message}`);
    console.error(
      `${run.witness}\nagain: npm run simulate -- --from ${run.seed} --seeds 1 --hours ${hours} --prompts ${prompts}`,
    );
  }
  if (done % 50 === 0) console.log(`${done} of ${seeds} seeds, ${broken} broken`);
}

const seconds = (performance.now() - startedAt) / 1000;
console.log(`${seeds} seeds, ${(seeds * hours).toFixed(1)} virtual hours in ${seconds.toFixed(0)} s: ${broken} broken`);
for (const [name, count] of Object.entries(total).sort(([a], [b]) => (a < b ? -1 : 1)))
  console.log(`  ${name}: ${count}`);
const missed = seeds < MANY ? [] : SOMETIMES.filter((name) => !total[name]);
for (const name of missed) console.error(`never reached: ${name}`);
process.exit(broken > 0 || missed.length > 0 ? 1 : 0);
