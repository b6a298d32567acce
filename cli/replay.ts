/** `npm run replay`: rebuilds the read models from the events, beside the live ones, and switches; or tells what prompts would have cost. */
import { Command } from 'commander';
import { PROMPTS } from '../projector/projection-store.ts';
import { rebuild } from '../projector/rebuild.ts';
import { showRepriced } from './repricing/command.ts';
import { parseSwap, type Swap } from './repricing/what-if.ts';
import { CliError, cliConfig, postgresUri, runTool } from './target.ts';

const program = new Command('replay')
  .description('rebuild the read models from the events')
  .option('--projection <name>', 'which projection', PROMPTS)
  .option('--until <time or position>', 'fold no further; the result is kept apart, never served')
  .option('--prices <file>', 'with --dry-run: what was charged beside what it would be at these prices')
  .option('--what-if <model or from=to>', 'the same at another model’s prices; may stand more than once', addSwap, [])
  .option('--dry-run', 'compare, change nothing', false)
  .option('--json', 'with --prices or --what-if: print JSON')
  .option('--csv', 'with --prices or --what-if: print CSV, in nano-USD');

type Options = {
  projection: string;
  until?: string;
  prices?: string;
  whatIf: Swap[];
  dryRun: boolean;
  json?: boolean;
  csv?: boolean;
};

await runTool(async () => {
  const options = program.parse().opts<Options>();
  if (options.projection !== PROMPTS)
    throw new CliError(`There is no projection "${options.projection}"; there is: ${PROMPTS}.`);
  if (options.json && options.csv) throw new CliError('Either --json or --csv, not both.');
  const form = options.json ? 'json' : options.csv ? 'csv' : 'table';
  if (options.prices !== undefined || options.whatIf.length > 0) {
    const until = options.until === undefined ? null : untilOf(options.until);
    return showRepriced({ ...options, prices: options.prices ?? null, until, form });
  }
  if (form !== 'table') throw new CliError(`--${form} goes with --prices or --what-if.`);
  const startedAt = performance.now();
  let shownAt = 0;
  const result = await rebuild({
    uri: postgresUri(cliConfig()),
    dryRun: options.dryRun,
    ...(options.until !== undefined && { until: untilOf(options.until) }),
    onProgress: ({ position, target, eventsPerSecond }) => {
      if (performance.now() - shownAt < 500 && position < target) return;
      shownAt = performance.now();
      const left = eventsPerSecond > 0 ? Math.ceil((target - position) / eventsPerSecond) : 0;
      console.error(`${position} of ${target} events, ${eventsPerSecond}/s, ${left} s left`);
    },
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(
    `Version ${result.version} of ${PROMPTS} at position ${result.position} after ${seconds} s: ${sentence(result)}`,
  );
  if (result.equal === false) process.exitCode = 1;
});

function sentence({ outcome, equal }: Awaited<ReturnType<typeof rebuild>>): string {
  if (equal === false) return 'it DIFFERS from the live version, which stays; the new one was dropped.';
  if (outcome === 'switched') return 'equal to the former one, and live now.';
  if (outcome === 'kept') return 'kept apart; it is not served.';
  return equal ? 'equal to the live version; dropped (--dry-run).' : 'dropped (--dry-run).';
}

function addSwap(text: string, swaps: Swap[]): Swap[] {
  return [...swaps, parseSwap(text)];
}

function untilOf(text: string): { position: number } | { time: string } {
  if (/^\d+$/.test(text)) return { position: Number(text) };
  const time = Date.parse(text);
  if (Number.isNaN(time))
    throw new CliError(`--until ${text} is neither a position nor a time like 2026-11-23T10:00:00Z.`);
  return { time: new Date(time).toISOString() };
}
