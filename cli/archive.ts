/** `npm run archive`: moves the beginning of the log into files, from which it can be replayed. */
import { Command } from 'commander';
import { type Archived, archiveLog } from './archiving/archive-log.ts';
import type { Reason } from './archiving/let-streams-go.ts';
import { archiveDirOf, CliError, cliConfig, placeOf, postgresUri, runTool } from './target.ts';

type Options = { before: string; to?: string; dryRun: boolean };

const program = new Command('archive')
  .description('move the beginning of the log into files; one that was broken off is taken up again')
  .requiredOption('--before <time or position>', 'events recorded before this time, or at earlier positions')
  .option('--to <dir>', 'folder of the archive: an empty one, or the one that the log’s beginning is in already')
  .option('--dry-run', 'tell what would be done, and change nothing', false);

const REASONS: Record<Reason, string> = {
  open: 'open',
  continues: 'with later events',
  failed: 'failed, which may be sent again',
  cost_unknown: 'with a cost that may still become known',
  unreadable: 'that this release cannot read',
  held: 'set aside, or changed meanwhile',
};

await runTool(async () => {
  const { before, to, dryRun } = program.parse().opts<Options>();
  const config = cliConfig();
  const dir = to ?? archiveDirOf(config);
  if (!dir) throw new CliError('Say where to, with --to DIR or ARCHIVE_DIR.');
  const archived = await archiveLog({
    uri: postgresUri(config),
    before: placeOf('--before', before),
    dir,
    dryRun,
    onProgress: progressLines(),
  });
  console.log(dryRun ? whatWouldBe(archived, dir) : whatIs(archived, dir));
});

type Progress = { phase: 'writing' | 'leaving'; position: number; target: number };

/** At most two a second, and each change of phase. */
function progressLines(): (progress: Progress) => void {
  let shownAt = -Infinity;
  let shown: Progress['phase'] | null = null;
  return ({ phase, position, target }) => {
    if (phase === shown && performance.now() - shownAt < 500) return;
    [shown, shownAt] = [phase, performance.now()];
    console.error(`${phase}: up to position ${position} of ${target}`);
  };
}

function whatIs({ former, floor, segments, left }: Archived, dir: string): string {
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
  const written = segments.length === 0 ? '' : ` ${count(segments.length, 'segment')} written, ${bytes} bytes.`;
  const moved =
    floor === former ? `Nothing more is archived: the floor stays at ${floor}.` : `Archived up to position ${floor}.`;
  return `${moved}${written} ${count(left.streams, 'stream')} with ${count(left.events, 'event')} left the log${kept(left.kept)}. Keep ${dir}: a replay reads it.`;
}

function whatWouldBe({ former, floor, left }: Archived, dir: string): string {
  const moved =
    floor === former ? 'Nothing more would be archived' : `Positions ${former + 1} to ${floor} would go to ${dir}`;
  return `${moved}; ${count(left.streams, 'stream')} with ${count(left.events, 'event')} would leave the log${kept(left.kept)}. Nothing was changed.`;
}

function kept(reasons: Archived['left']['kept']): string {
  const told = Object.entries(reasons).map(([reason, streams]) => `${streams} ${REASONS[reason as Reason]}`);
  return told.length === 0 ? '' : `; these stay: ${told.join(', ')}`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}
