/** Projections, their versions and their rebuilds, as they stand in Postgres; read on the primary, where a switch is at once. */
import type { Static } from '@sinclair/typebox';
import type pg from 'pg';
import type { Projection, ProjectionVersion, Rebuild } from '../../contracts/http/projections.ts';
import { readSql } from '../../platform/postgres/sql-file.ts';

const PROJECTIONS = readSql(import.meta.url, '../sql/projections.sql');
const REBUILDS = readSql(import.meta.url, '../sql/rebuilds.sql');
const RECENT = readSql(import.meta.url, '../sql/recent-rebuilds.sql');

type Db = Pick<pg.Pool, 'query'>;

/** Times are RFC 3339; those inside JSON with microseconds and an offset, as Postgres writes them there. */
type RebuildRow = {
  id: string;
  name: string;
  requested_by: string;
  requested_at: string;
  dry_run: boolean;
  accept_differences: boolean;
  by_tool: boolean;
  started_at: string | null;
  ended_at: string | null;
  version: number | null;
  outcome: Rebuild['outcome'];
  error: string | null;
  phase: Exclude<Rebuild['progress']['phase'], 'waiting'> | null;
  position: number | null;
  target: number | null;
  events_per_second: number | null;
  told_at: string | null;
};

type ProjectionRow = {
  name: string;
  version: number;
  head: number;
  versions: Static<typeof ProjectionVersion>[];
  open: RebuildRow | null;
  last: RebuildRow | null;
};

export async function listProjections(db: Db): Promise<Projection[]> {
  const { rows } = await db.query<ProjectionRow>({ name: 'projections', text: PROJECTIONS });
  return rows.map(({ name, version, head, versions, open, last }) => {
    const served = versions.find((one) => one.served);
    const position = served?.position ?? 0;
    return {
      name,
      version,
      position,
      head,
      lag: Math.max(0, head - position),
      parkedStreams: served?.parkedStreams ?? 0,
      versions: versions.map((one) => ({ ...one, createdAt: utc(one.createdAt), readyAt: utcOrNull(one.readyAt) })),
      openRebuild: open && toRebuild(open),
      lastRebuild: last && toRebuild(last),
    };
  });
}

/** Null when there is no such projection. `next` is where the next page begins. */
export async function listRebuilds(
  db: Db,
  projection: string,
  { after, limit }: { after: string | null; limit: number },
): Promise<{ data: Rebuild[]; next: string | null } | null> {
  const { rows } = await db.query<RebuildRow>(REBUILDS, [projection, after, limit + 1]);
  if (rows.length === 0) {
    const known = await db.query('SELECT FROM projection WHERE name = $1', [projection]);
    if (known.rowCount === 0) return null;
  }
  const data = rows.slice(0, limit).map(toRebuild);
  return { data, next: rows.length > limit ? (data.at(-1)?.id ?? null) : null };
}

/** Open, or ended a moment ago; oldest first. */
export async function recentRebuilds(db: Db): Promise<Rebuild[]> {
  const { rows } = await db.query<RebuildRow>({ name: 'recent-rebuilds', text: RECENT });
  return rows.map(toRebuild);
}

function toRebuild(row: RebuildRow): Rebuild {
  const { position, target, events_per_second: eventsPerSecond } = row;
  const left = row.ended_at === null && position !== null && target !== null ? target - position : null;
  return {
    id: row.id,
    projection: row.name,
    requestedBy: row.requested_by,
    requestedAt: utc(row.requested_at),
    dryRun: row.dry_run,
    acceptDifferences: row.accept_differences,
    byTool: row.by_tool,
    startedAt: utcOrNull(row.started_at),
    endedAt: utcOrNull(row.ended_at),
    version: row.version,
    outcome: row.outcome,
    error: row.error,
    progress: {
      phase: row.phase ?? 'waiting',
      position: position ?? 0,
      target: target ?? 0,
      eventsPerSecond: eventsPerSecond ?? 0,
      secondsLeft: left !== null && eventsPerSecond ? Math.ceil(Math.max(0, left) / eventsPerSecond) : null,
      toldAt: utcOrNull(row.told_at),
    },
  };
}

const utc = (time: string): string => new Date(time).toISOString();
const utcOrNull = (time: string | null): string | null => time && utc(time);
