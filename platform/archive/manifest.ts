/** What an archive has: `manifest.json` beside its segments. A segment counts from the moment it stands there. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Uuid } from '../../contracts/http/scalars.ts';
import { validator } from '../http/validation.ts';
import { ArchiveError } from './archive-error.ts';
import { writeDurably } from './durable-file.ts';

const FILE = 'manifest.json';
const FORMAT = 1;

const Count = Type.Integer({ minimum: 1 });
const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });

export const Segment = Type.Object({
  /** Gzip of one event as JSON per line, in the order of the log. */
  file: Type.String({ pattern: '^[\\w.-]+$' }),
  from: Count,
  to: Count,
  events: Count,
  /** Of the file. */
  bytes: Count,
  sha256: Sha256,
  firstRecordedAt: Type.String(),
  lastRecordedAt: Type.String(),
  /** Of the event at `to`: tells archives of different logs apart. */
  lastEventId: Uuid,
  /** Event type → schema versions that it has in this segment. */
  schemaVersions: Type.Record(Type.String(), Type.Array(Type.Integer())),
});
export type Segment = Static<typeof Segment>;

const Manifest = Type.Object({ format: Type.Integer(), segments: Type.Array(Segment) });
const isManifest = validator(Manifest);

/** Segments in the order of the log, gapless from position 1; none when there is no manifest. Throws `ArchiveError`. */
export async function readManifest(dir: string): Promise<Segment[]> {
  const path = join(dir, FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const manifest = parse(path, text);
  let next = 1;
  for (const { file, from, to, events } of manifest.segments) {
    if (from !== next || events !== to - from + 1) {
      throw new ArchiveError(`The archive in ${dir} has a gap: ${file} has ${from} to ${to}, ${next} is missing.`);
    }
    next = to + 1;
  }
  return manifest.segments;
}

export const writeManifest = (dir: string, segments: Segment[]): Promise<void> =>
  writeDurably(join(dir, FILE), dir, `${JSON.stringify({ format: FORMAT, segments }, null, 2)}\n`);

function parse(path: string, text: string): Static<typeof Manifest> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ArchiveError(`${path} is not JSON.`, { cause });
  }
  if (!isManifest(value)) throw new ArchiveError(`${path} is no manifest of an archive.`);
  if (value.format !== FORMAT)
    throw new ArchiveError(`${path} has format ${value.format}, this release reads ${FORMAT}: take the newer one.`);
  return value;
}
