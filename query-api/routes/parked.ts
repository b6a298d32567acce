/** GET /parked: streams that a projection has set aside. */
import { Type } from '@sinclair/typebox';
import { Page, ParkedStream } from '../../contracts/http/queries.ts';
import { problem } from '../../platform/http/problem.ts';
import type { Server } from '../../platform/http/server.ts';
import { isUuid } from '../../platform/ids.ts';
import { listParked, type ParkedKey } from '../../platform/postgres/parked.ts';
import type { ReadDeps } from '../deps.ts';
import { invalidParameter } from './query-parts.ts';

const ParkedQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
    cursor: Type.Optional(Type.String({ maxLength: 256 })),
  },
  { additionalProperties: false },
);

const DEFAULT_LIMIT = 50;

export function parkedRoute(server: Server, { primaryPool }: ReadDeps): void {
  server.get(
    '/parked',
    {
      schema: {
        summary: 'For admins: streams set aside because of an event that could not be folded, the oldest first',
        tags: ['operations'],
        querystring: ParkedQuery,
        response: { 200: Page(ParkedStream) },
      },
    },
    async (request) => {
      if (request.principal.role !== 'admin') throw problem('forbidden', { detail: 'this list is for admins' });
      const { limit = DEFAULT_LIMIT, cursor } = request.query;
      const after = cursor === undefined ? null : decodeCursor(cursor);
      if (cursor !== undefined && after === null) throw invalidParameter('cursor', 'is not one that was given');
      // The primary: what was just replayed is not shown again by a replica that is late.
      const { data, next } = await listParked(primaryPool, { after, limit });
      return { data, hasMore: next !== null, nextCursor: next && encodeCursor(next) };
    },
  );
}

const encodeCursor = ({ projection, version, streamId }: ParkedKey): string =>
  Buffer.from(`${projection} ${version} ${streamId}`).toString('base64url');

/** Null for anything that `encodeCursor` does not make. */
function decodeCursor(cursor: string): ParkedKey | null {
  const [projection = '', version = '', streamId = '', ...rest] = Buffer.from(cursor, 'base64url')
    .toString()
    .split(' ');
  const key = { projection, version: Number(version), streamId };
  const valid = rest.length === 0 && /^[a-z_]+$/.test(projection) && /^\d{1,9}$/.test(version) && isUuid(streamId);
  return valid && encodeCursor(key) === cursor ? key : null;
}
