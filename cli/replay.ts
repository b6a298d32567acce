/**
 * `npm run replay`: rebuilds the read models from the events, beside what is served, and switches; or tells what prompts
 * would have cost.
 */
import { constants, setPriority } from 'node:os';
import { Command } from 'commander';
import { openClient } from '../platform/postgres/client.ts';
import { PROMPTS } from '../projector/projection-store.ts';
import { rebuildByTool } from '../projector/rebuild/by-tool.ts';
import { type Progress, type Rebuilt, withRebuildPool } from '../projector/rebuild/rebuild.ts';
import { dropVersion, listVersions, serveVersion, type Version } from '../projector/rebuild/versions.ts';
import { progressLines } from './progress-lines.ts';
import { remakeLedgerByTool } from './remake-ledger.ts';
import { repricingForVersion, showRepriced } from './repricing/command.ts';
import { parseSwap, type Swap } from './repricing/what-if.ts';
import { archiveDirOf, CliError, cliConfig, placeOf, postgresUri, runTool } from './target.ts';

const LEDGER = 'ledger';

type Options = {
  projection: string;
  until?: string;
  prices?: string;
  archive?: string;
  whatIf: Swap[];
  json?: boolean;
  csv?: boolean;
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
  .option(
    '--prices <file>',
    'at these prices: a version that is kept apart; with --dry-run only told, beside what was charged',
  )
  .option(
    '--what-if <model or from=to>',
    'the same at another model’s prices; may stand more than once, and with --prices',
    addSwap,
    [],
  )
  .option('--archive <dir>', 'folder of the archive, where the beginning of the log has left it')
  .option('--json', 'what --dry-run tells, as JSON')
  .option('--csv', 'what --dry-run tells, as CSV in nano-USD')
  .option('--dry-run', 'build and compare, change nothing', false)
  .option('--accept-differences', 'serve the new version also if it is not equal to the former one', false)
  .option('--lanes <n>', 'how many fold at a time', wholeNumber)
  .option('--anew', 'do not take up what an earlier rebuild left', false)
  .option('--list', 'show the versions there are, and do nothing', false)
  .option('--serve <version>', 'serve another version that is kept up to date: the way back', wholeNumber)
  .option('--drop <version>', 'drop a version that is not served', wholeNumber);
// Whoever says more beside one of these means something that would not be done.
const names = program.options.map((option) => option.attributeName()).filter((name) => name !== 'projection');
for (const option of program.options)
  if (['list', 'serve', 'drop'].includes(option.attributeName()))
    option.conflicts(names.filter((name) => name !== option.attributeName()));

await runTool(async () => {
  const options = program.parse().opts<Options>();
  if (options.projection === LEDGER) return remakeLedger(options);
  if (options.projection !== PROMPTS)
    throw new CliError(`There is no projection "${options.projection}"; there are: ${PROMPTS}, ${LEDGER}.`);
  if (options.json && options.csv) throw new CliError('Either --json or --csv, not both.');
  const form = options.json ? 'json' : options.csv ? 'csv' : 'table';
  const until = options.until === undefined ? null : placeOf('--until', options.until);
  const other = { prices: options.prices ?? null, whatIf: options.whatIf };
  const isRepriced = other.prices !== null || other.whatIf.length > 0;
  if (options.acceptDifferences && (isRepriced || until !== null || options.dryRun))
    throw new CliError(
      '--accept-differences is for what may be served: not with --prices, --what-if, --until or --dry-run.',
    );
  if (isRepriced && options.dryRun) {
    if (options.lanes !== undefined || options.anew)
      throw new CliError(
        '--lanes and --anew are for a version that is built: not with --dry-run beside --prices or --what-if.',
      );
    return showRepriced({ ...other, until, archive: options.archive ?? null, form });
  }
  if (form !== 'table') throw new CliError(`--${form} goes with --dry-run, and --prices or --what-if.`);
  const config = cliConfig();
  const uri = postgresUri(config);
  if (options.list) return showVersions(uri);
  const { serve, drop } = options;
  if (serve !== undefined) return serveIt(uri, serve);
  if (drop !== undefined) {
    await withRebuildPool({ uri, max: 3 }, (pool) => dropVersion(pool, drop));
    console.log(`Version ${drop} of ${PROMPTS} is dropped.`);
    return;
  }
  setPriority(constants.priority.PRIORITY_BELOW_NORMAL); // what serves on this machine goes first
  const startedAt = performance.now();
  const result = await rebuildByTool({
    uri,
    tool: 'npm run replay',
    dryRun: options.dryRun,
    acceptDifferences: options.acceptDifferences,
    anew: options.anew,
    archiveDir: options.archive ?? archiveDirOf(config),
    ...(options.lanes !== undefined && { lanes: options.lanes }),
    ...(until && { until }),
    ...(isRepriced && { prices: await repricingForVersion(other, config) }),
    onProgress: progressLines<Progress>(({ version }) => `version ${version}`),
    logger: { warn: (_, message) => console.error(message) },
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(
    `Version ${result.version} of ${PROMPTS} at position ${result.position} after ${seconds} s: ${sentence(result)}`,
  );
  if (result.equal === false && result.outcome !== 'switched') process.exitCode = 1;
});

function remakeLedger({ projection: _, dryRun, anew, archive, whatIf, ...given }: Options): Promise<void> {
  if (whatIf.length > 0 || Object.values(given).some(Boolean))
    throw new CliError(`--projection ${LEDGER} goes with --dry-run, --anew and --archive, and with nothing else.`);
  setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
  return remakeLedgerByTool(cliConfig(), { dryRun, anew, ...(archive !== undefined && { archive }) });
}

/** Also while a rebuild runs: that is when somebody asks. */
async function showVersions(uri: string): Promise<void> {
  const client = await openClient({ uri, name: 'replay', statementTimeoutMs: 10_000 });
  try {
    console.log(table(await listVersions(client)));
  } finally {
    await client.end();
  }
}

async function serveIt(uri: string, version: number): Promise<void> {
  const served = await withRebuildPool({ uri, max: 3 }, (pool) => serveVersion(pool, version));
  if (!served)
    throw new CliError(`Version ${version} is behind the one that is served: is a projector running? Try again.`);
  console.log(`Version ${version} of ${PROMPTS} is served now.`);
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

function table(versions: Version[]): string {
  return versions
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
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new CliError(`${text} is not a whole number above 0.`);
  return Number(text);
}

function addSwap(text: string, swaps: Swap[]): Swap[] {
  return [...swaps, parseSwap(text)];
}
