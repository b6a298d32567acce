/** `npm run replay`: rebuilds the read models from the events, beside the live ones, and switches. */
import { Command } from 'commander';
import { PROMPTS } from '../projector/projection-store.ts';
import { rebuild } from '../projector/rebuild.ts';
import { CliError, cliConfig, postgresUri, runTool } from './target.ts';

const program = new Command('replay')
  .description('rebuild the read models from the events')
  .option('--projection <name>', 'which projection', PROMPTS)
  .option('--until <time or position>', 'fold no further; the result is kept apart, never served')
  .option('--prices <file>', 'other prices (not available yet)')
  .option('--dry-run', 'build and compare, change nothing', false);

await runTool(async () => {
  const options = program.parse().opts<{ projection: string; until?: string; prices?: string; dryRun: boolean }>();
  if (options.projection !== PROMPTS)
    throw new CliError(`There is no projection "${options.projection}"; there is: ${PROMPTS}.`);
  if (options.prices !== undefined)
    throw new CliError('Prices cannot be replaced yet: costs are as they were charged.');
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

function untilOf(text: string): { position: number } | { time: string } {
  if (/^\d+$/.test(text)) return { position: Number(text) };
  const time = Date.parse(text);
  if (Number.isNaN(time))
    throw new CliError(`--until ${text} is neither a position nor a time like 2026-11-23T10:00:00Z.`);
  return { time: new Date(time).toISOString() };
}
