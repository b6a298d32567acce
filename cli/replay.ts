/** `npm run replay`: rebuilds the read models from the events, beside what is served, and switches. */
import { Command } from 'commander';
import { PROMPTS } from '../projector/projection-store.ts';
import { type Progress, type Rebuilt, rebuild, withRebuildPool } from '../projector/rebuild/rebuild.ts';
import { dropVersion, listVersions, serveVersion, type Version } from '../projector/rebuild/versions.ts';
import { CliError, cliConfig, postgresUri, runTool } from './target.ts';

type Options = {
  projection: string;
  until?: string;
  prices?: string;
  dryRun: boolean;
  lanes?: number;
  anew: boolean;
  acceptDifferences: boolean;
  list: boolean;
  serve?: number;
  drop?: number;
};

const program = new Command('replay')
  .description('rebuild the read models from the events; one that was broken off is taken up again')
  .option('--projection <name>', 'which projection', PROMPTS)
  .option('--until <time or position>', 'fold no further; the result is kept apart, never served')
  .option('--prices <file>', 'other prices (not available yet)')
  .option('--dry-run', 'build and compare, change nothing', false)
  .option('--accept-differences', 'serve the new version also if it is not equal to the former one', false)
  .option('--lanes <n>', 'how many fold at a time', wholeNumber)
  .option('--anew', 'do not take up what an earlier rebuild left', false)
  .option('--list', 'show the versions there are, and do nothing', false)
  .option('--serve <version>', 'serve another version that is kept up to date: the way back', wholeNumber)
  .option('--drop <version>', 'drop a version that is not served', wholeNumber);

await runTool(async () => {
  const options = program.parse().opts<Options>();
  if (options.projection !== PROMPTS)
    throw new CliError(`There is no projection "${options.projection}"; there is: ${PROMPTS}.`);
  if (options.prices !== undefined)
    throw new CliError('Prices cannot be replaced yet: costs are as they were charged.');
  const uri = postgresUri(cliConfig());
  if (options.list)
    return withRebuildPool({ uri, max: 2 }, async (pool) => console.log(table(await listVersions(pool))));
  const { serve, drop } = options;
  if (serve !== undefined) return serveIt(uri, serve);
  if (drop !== undefined) {
    await withRebuildPool({ uri, max: 3 }, (pool) => dropVersion(pool, drop));
    console.log(`Version ${drop} of ${PROMPTS} is dropped.`);
    return;
  }
  const startedAt = performance.now();
  const result = await rebuild({
    uri,
    dryRun: options.dryRun,
    acceptDifferences: options.acceptDifferences,
    anew: options.anew,
    ...(options.lanes !== undefined && { lanes: options.lanes }),
    ...(options.until !== undefined && { until: untilOf(options.until) }),
    onProgress: progressLines(),
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(
    `Version ${result.version} of ${PROMPTS} at position ${result.position} after ${seconds} s: ${sentence(result)}`,
  );
  if (result.equal === false && result.outcome !== 'switched') process.exitCode = 1;
});

async function serveIt(uri: string, version: number): Promise<void> {
  const served = await withRebuildPool({ uri, max: 3 }, (pool) => serveVersion(pool, version));
  if (!served)
    throw new CliError(`Version ${version} is behind the one that is served: is a projector running? Try again.`);
  console.log(`Version ${version} of ${PROMPTS} is served now.`);
}

/** At most two a second, and each change of phase. */
function progressLines(): (progress: Progress) => void {
  let shownAt = -Infinity;
  let shown: Progress['phase'] | null = null;
  return (progress) => {
    const { phase, version, position, target, eventsPerSecond, resumed } = progress;
    if (shown === null && resumed) console.error(`version ${version} is taken up again`);
    if (phase === 'folding' && eventsPerSecond === 0) return; // nothing is known yet
    if (phase === shown && performance.now() - shownAt < 500) return;
    shownAt = performance.now();
    shown = phase;
    const left = eventsPerSecond > 0 ? `, ${Math.ceil((target - position) / eventsPerSecond)} s left` : '';
    console.error(`${phase.replace('_', ' ')}: ${position} of ${target} events, ${eventsPerSecond}/s${left}`);
  };
}

function sentence({ outcome, equal, former, differing }: Rebuilt): string {
  const differs = `it DIFFERS from version ${former} in ${differing.join(', ')}`;
  if (outcome === 'switched')
    return `${equal ? `equal to version ${former}` : `${differs}, which was accepted`}, and served now. The way back: --serve ${former}.`;
  if (outcome === 'kept') return 'kept apart; it is not served.';
  if (equal === null) return 'dropped (--dry-run).';
  return equal
    ? `equal to version ${former}; dropped (--dry-run).`
    : `${differs}, which stays; the new one was dropped.`;
}

const table = (versions: Version[]): string =>
  versions
    .map(({ version, isLive, status, frozen, verdict, prices, position, target }) =>
      [
        `version ${version}`,
        isLive ? 'served' : status,
        ...(frozen ? [`ends at ${target}`] : []),
        ...(prices ? [`prices ${prices}`] : []),
        ...(verdict ? [verdict] : []),
        `at ${position}`,
      ].join(', '),
    )
    .join('\n');

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new CliError(`${text} is not a whole number above 0.`);
  return Number(text);
}

function untilOf(text: string): { position: number } | { time: string } {
  if (/^\d+$/.test(text)) return { position: Number(text) };
  const time = Date.parse(text);
  if (Number.isNaN(time))
    throw new CliError(`--until ${text} is neither a position nor a time like 2026-11-23T10:00:00Z.`);
  return { time: new Date(time).toISOString() };
}
