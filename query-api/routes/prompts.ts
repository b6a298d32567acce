/** GET /prompts/{id} and GET /prompts. */
import { type Static, Type } from '@sinclair/typebox';
import { Page, Prompt, Status } from '../../contracts/http/queries.ts';
import { isTerminal } from '../../contracts/prompt/state.ts';
import type { Server } from '../../platform/http/server.ts';
import type { KeyHolder } from '../../platform/postgres/api-keys.ts';
import type { ReadDeps } from '../deps.ts';
import { awaitTerminal } from '../read-models/await-terminal.ts';
import { findCached } from '../read-models/cached-prompts.ts';
import type { ListFilter } from '../read-models/page-bounds.ts';
import { listPrompts } from '../read-models/prompt-list.ts';
import { listPromptsAt } from '../read-models/prompt-list-as-of.ts';
import { pointOf } from './as-of.ts';
import { clientGone } from './client-gone.ts';
import { entityTag, matchesTag } from './entity-tag.ts';
import { decodeCursor, encodeCursor } from './page-cursor.ts';
import {
  asOf,
  invalidParameter,
  mayRead,
  minPosition,
  Name,
  noSuchPrompt,
  PromptParams,
  timeOf,
  timeRange,
  UuidText,
  Words,
} from './query-parts.ts';
import { awaitPosition } from './read-your-writes.ts';

const OneQuery = Type.Object(
  {
    wait: Type.Optional(Type.Number({ minimum: 0, maximum: 60, description: 'Seconds to hold until it has ended' })),
    asOf,
    minPosition,
  },
  { additionalProperties: false },
);

const ListQuery = Type.Object(
  {
    status: Type.Optional(Status),
    model: Type.Optional(Name),
    conversationId: Type.Optional(UuidText),
    userId: Type.Optional(Name),
    ...timeRange,
    q: Type.Optional(Words),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
    cursor: Type.Optional(Type.String({ maxLength: 256 })),
    asOf,
    minPosition,
  },
  { additionalProperties: false },
);

const DEFAULT_LIMIT = 50;

export function promptRoutes(server: Server, deps: ReadDeps): void {
  const { live, pool, feed, closing } = deps;

  server.get(
    '/prompts/:id',
    {
      schema: {
        summary: 'A prompt; with wait, held until it has ended',
        tags: ['queries'],
        params: PromptParams,
        querystring: OneQuery,
        response: { 200: Prompt, 304: Type.Null() },
      },
    },
    async (request, reply) => {
      const { wait = 0, minPosition: position } = request.query;
      const id = request.params.id.toLowerCase();
      const gone = clientGone(reply);
      await awaitPosition(live, position, gone);
      const point = await pointOf(deps, request.query.asOf, gone);
      if (point && wait > 0) throw invalidParameter('wait', 'is no use together with asOf');

      const find = async () => {
        if (point) {
          const then = await deps.reader.findAt(id, point.position);
          return then && mayRead(request.principal, then.userId) ? then : null;
        }
        const found = await findCached(deps, id, position ?? 0);
        return found && mayRead(request.principal, found.prompt.userId) ? found.prompt : null;
      };
      let prompt = await find();
      if (prompt && wait > 0 && !isTerminal(prompt.status)) {
        const signal = AbortSignal.any([gone, closing]);
        prompt = await awaitTerminal(id, wait * 1_000, signal, { watch: feed.watch, find });
      }
      if (!prompt) throw noSuchPrompt();
      const tag = entityTag(prompt.position, live.current().version);
      reply.header('etag', tag).header('cache-control', 'private, no-cache');
      if (matchesTag(request.headers['if-none-match'], tag)) return reply.code(304).send(null);
      return prompt;
    },
  );

  server.get(
    '/prompts',
    {
      schema: {
        summary: 'Prompts, newest first',
        tags: ['queries'],
        querystring: ListQuery,
        response: { 200: Page(Prompt) },
      },
    },
    async (request, reply) => {
      const { limit = DEFAULT_LIMIT, cursor, minPosition: position } = request.query;
      const filter = filterOf(request.query, request.principal);
      const after = cursor === undefined ? null : decodeCursor(cursor);
      if (cursor !== undefined && after === null) throw invalidParameter('cursor', 'is not one that was given');
      const gone = clientGone(reply);
      await awaitPosition(live, position, gone);
      const point = await pointOf(deps, request.query.asOf, gone);
      const page = { after, limit };
      const { data, next } = point
        ? await listPromptsAt(deps, point, filter, page)
        : await listPrompts(pool, live, filter, page);
      return { data, hasMore: next !== null, nextCursor: next && encodeCursor(next) };
    },
  );
}

function filterOf(query: Static<typeof ListQuery>, who: KeyHolder): ListFilter {
  const isAdmin = who.role === 'admin';
  if (query.userId !== undefined && !isAdmin) throw invalidParameter('userId', 'is for admins');
  return {
    userId: isAdmin ? (query.userId ?? null) : who.userId,
    status: query.status ?? null,
    model: query.model ?? null,
    conversationId: query.conversationId ?? null,
    words: query.q ?? null,
    from: timeOf('from', query.from),
    to: timeOf('to', query.to),
  };
}
