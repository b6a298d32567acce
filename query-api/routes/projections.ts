/** GET /projections and GET /projections/{name}/rebuilds, for admins. */
import { Type } from '@sinclair/typebox';
import type pg from 'pg';
import { Projection, Rebuild } from '../../contracts/http/projections.ts';
import { Page } from '../../contracts/http/queries.ts';
import { adminsOnly } from '../../platform/http/authenticate.ts';
import { problem } from '../../platform/http/problem.ts';
import type { Server } from '../../platform/http/server.ts';
import { isUuid } from '../../platform/ids.ts';
import { listProjections, listRebuilds } from '../read-models/projections.ts';
import { invalidParameter } from './query-parts.ts';

const Params = Type.Object({ name: Type.String({ minLength: 1, maxLength: 64, pattern: '^[^\\u0000]*$' }) });
const PageQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
    cursor: Type.Optional(Type.String({ maxLength: 256 })),
  },
  { additionalProperties: false },
);
const DEFAULT_LIMIT = 50;
const tags = ['operations'];

export function projectionRoutes(server: Server, primary: Pick<pg.Pool, 'query'>): void {
  server.get(
    '/projections',
    {
      onRequest: adminsOnly,
      schema: {
        summary: 'Read models: what is served, the versions there are, and how far rebuilds are (admins)',
        tags,
        response: { 200: Type.Object({ data: Type.Array(Projection) }) },
      },
    },
    async () => ({ data: await listProjections(primary) }),
  );

  server.get(
    '/projections/:name/rebuilds',
    {
      onRequest: adminsOnly,
      schema: {
        summary: 'Rebuilds that were asked for, newest first (admins)',
        tags,
        params: Params,
        querystring: PageQuery,
        response: { 200: Page(Rebuild) },
      },
    },
    async (request) => {
      const { limit = DEFAULT_LIMIT, cursor } = request.query;
      const after = cursor === undefined ? null : decode(cursor);
      if (cursor !== undefined && after === null) throw invalidParameter('cursor', 'is not one that was given');
      const page = await listRebuilds(primary, request.params.name, { after, limit });
      if (!page) throw problem('not_found', { detail: 'there is no such projection' });
      return { data: page.data, hasMore: page.next !== null, nextCursor: page.next && encode(page.next) };
    },
  );
}

const encode = (id: string): string => Buffer.from(id).toString('base64url');

function decode(cursor: string): string | null {
  const id = Buffer.from(cursor, 'base64url').toString();
  return isUuid(id) && encode(id) === cursor ? id : null;
}
