/** POST /projections/{name}/rebuilds, and its end by DELETE; serving and dropping a version. For admins. */
import { Type } from '@sinclair/typebox';
import type pg from 'pg';
import { RebuildAccepted, RebuildBody, RebuildCancelling, VersionServed } from '../../contracts/http/projections.ts';
import { Uuid } from '../../contracts/http/scalars.ts';
import { adminsOnly } from '../../platform/http/authenticate.ts';
import { type HttpProblem, problem } from '../../platform/http/problem.ts';
import type { Server } from '../../platform/http/server.ts';
import { newId } from '../../platform/ids.ts';
import { cancelRebuild, dropVersion, requestRebuild, serveVersion } from '../projections.ts';

export type ProjectionRouteOptions = {
  pool: Pick<pg.Pool, 'query'>;
  /** A projector may look at once: there is a rebuild to do, or one that nobody wants any more. */
  onRequested: () => void;
};

/** One without a U+0000, which Postgres cannot look for. */
const Name = Type.String({ minLength: 1, maxLength: 64, pattern: '^[^\\u0000]*$' });
/** Parameters are text: nothing is coerced. */
const VersionText = Type.String({ pattern: '^[1-9][0-9]{0,8}$', description: 'A version’s number' });
const OneVersion = Type.Object({ name: Name, version: VersionText });
/** Nothing may be said yet; fields would be dropped silently. */
const NoBody = Type.Union([Type.Object({}, { additionalProperties: false }), Type.Null()]);
const tags = ['operations'];

export function projectionRoutes(server: Server, { pool, onRequested }: ProjectionRouteOptions): void {
  server.post(
    '/projections/:name/rebuilds',
    {
      onRequest: adminsOnly,
      schema: {
        summary:
          'Rebuild the read models from the events beside what is served, compare, and serve the new version (admins)',
        tags,
        params: Type.Object({ name: Name }),
        body: Type.Union([RebuildBody, Type.Null()]),
        response: { 202: RebuildAccepted },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const id = newId();
      const { userId } = request.principal;
      const { dryRun = false, acceptDifferences = false } = request.body ?? {};
      const wanted = { id, projection: name, requestedBy: userId, dryRun, acceptDifferences };
      const requested = await requestRebuild(pool, wanted);
      if (requested.status !== 'requested') throw requested.status === 'open' ? openAlready() : noSuchProjection();
      onRequested();
      const { requestedAt } = requested;
      return reply.code(202).header('location', '/projections').send({ id, projection: name, requestedAt });
    },
  );

  server.delete(
    '/projections/:name/rebuilds/:rebuildId',
    {
      onRequest: adminsOnly,
      schema: {
        summary: 'Cancel a rebuild: what it has built is dropped, what is served stays (admins)',
        description:
          'One that has begun is broken off within some seconds by whoever does it; its `outcome` is `cancelled` then, or `switched` where that came first.',
        tags,
        params: Type.Object({ name: Name, rebuildId: Uuid }),
        response: { 202: RebuildCancelling },
      },
    },
    async (request, reply) => {
      const { name, rebuildId: id } = request.params;
      const { userId } = request.principal;
      const outcome = await cancelRebuild(pool, { id, projection: name, cancelledBy: userId });
      if (outcome === null) throw problem('not_found', { detail: 'there is no such rebuild' });
      if (outcome !== 'open' && outcome !== 'cancelled')
        throw problem('rebuild_ended', { detail: `its outcome is ${outcome}` });
      onRequested();
      return reply.code(202).send({ id, projection: name, outcome: outcome === 'open' ? null : outcome });
    },
  );

  server.post(
    '/projections/:name/versions/:version/serve',
    {
      onRequest: adminsOnly,
      schema: {
        summary: 'Serve another version that is kept up to date: the way back (admins)',
        tags,
        params: OneVersion,
        body: NoBody,
        response: { 200: VersionServed },
      },
    },
    async (request) => {
      const { name } = request.params;
      const version = Number(request.params.version);
      const outcome = await serveVersion(pool, name, version);
      switch (outcome) {
        case 'switched':
        case 'live':
          return { projection: name, version };
        case 'unknown':
          throw noSuchVersion();
        case 'building':
          throw problem('version_not_servable', {
            detail: 'it is not whole yet: ask for a rebuild, which takes it up',
          });
        case 'frozen':
          throw problem('version_not_servable', { detail: 'it ends at a position, or has other prices' });
        case 'behind':
          throw problem('version_behind', { detail: 'a projector brings it up to date: try again' });
        case 'rebuilding':
          throw rebuilding();
      }
    },
  );

  server.delete(
    '/projections/:name/versions/:version',
    {
      onRequest: adminsOnly,
      schema: {
        summary: 'Drop a version that is not served, with its tables (admins)',
        tags,
        params: OneVersion,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { name, version } = request.params;
      const outcome = await dropVersion(pool, name, Number(version));
      switch (outcome) {
        case 'dropped':
          return reply.code(204).send(null);
        case 'unknown':
          throw noSuchVersion();
        case 'served':
          throw problem('version_served', { detail: 'serve another one first' });
        case 'rebuilding':
          throw rebuilding();
      }
    },
  );
}

const openAlready = (): HttpProblem => problem('rebuild_running', { detail: 'let it end: GET /projections' });
const noSuchProjection = (): HttpProblem => problem('not_found', { detail: 'there is no such projection' });
const noSuchVersion = (): HttpProblem => problem('not_found', { detail: 'there is no such version' });
const rebuilding = (): HttpProblem => problem('rebuild_running', { detail: 'no version changes its place meanwhile' });
