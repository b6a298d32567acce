/** GET /ledger: one entry for each attempt, as JSON in pages or as CSV. */
import { Type } from '@sinclair/typebox';
import { LedgerEntry, LedgerPage, LedgerState } from '../../contracts/http/queries.ts';
import { problem } from '../../platform/http/problem.ts';
import type { Server } from '../../platform/http/server.ts';
import type { ReadDeps } from '../deps.ts';
import { readLedger } from '../read-models/ledger.ts';
import { clientGone } from './client-gone.ts';
import { columnsOf, toCsv, wantsCsv } from './csv.ts';
import { invalidParameter, minPosition, Name, timeOf, timeRange, UuidText } from './query-parts.ts';

const LedgerQuery = Type.Object(
  {
    ...timeRange,
    model: Type.Optional(Name),
    userId: Type.Optional(Name),
    state: Type.Optional(LedgerState),
    promptId: Type.Optional(UuidText),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
    cursor: Type.Optional(Type.String({ maxLength: 64 })),
    minPosition,
    format: Type.Optional(
      Type.Union([Type.Literal('json'), Type.Literal('csv')], { description: 'Instead of the header Accept' }),
    ),
  },
  { additionalProperties: false },
);

const DEFAULT_LIMIT = 50;
/** Entries are posted once a second. */
const LONGEST_WAIT_MS = 3_000;
const ASK_EVERY_MS = 100;

export function ledgerRoute(server: Server, { primaryPool, closing }: ReadDeps): void {
  server.get(
    '/ledger',
    {
      schema: {
        summary: 'What every attempt cost, the newest first: reserved, confirmed, wasted, unknown or void',
        description:
          'Posted about once a second; `position` tells up to where. With `emulated` answers the cost is notional: nobody is charged.',
        tags: ['statistics'],
        querystring: LedgerQuery,
        produces: ['application/json', 'text/csv'],
        response: { 200: LedgerPage },
      },
    },
    async (request, reply) => {
      const { query, principal } = request;
      const isAdmin = principal.role === 'admin';
      if (query.userId !== undefined && query.userId !== principal.userId && !isAdmin)
        throw invalidParameter('userId', 'of another user is for admins');
      const after = query.cursor === undefined ? null : decodeCursor(query.cursor);
      const filter = {
        userId: isAdmin ? (query.userId ?? null) : principal.userId,
        model: query.model ?? null,
        state: query.state ?? null,
        promptId: query.promptId?.toLowerCase() ?? null,
        from: timeOf('from', query.from),
        to: timeOf('to', query.to),
      };
      const signal = AbortSignal.any([clientGone(reply), closing]);
      const deadline = performance.now() + LONGEST_WAIT_MS;
      for (;;) {
        // The primary: ledger and head of one moment, and nothing that a late replica has not posted yet.
        const page = await readLedger(primaryPool, filter, { after, limit: query.limit ?? DEFAULT_LIMIT });
        const { data, next, position } = page;
        if (position >= (query.minPosition ?? 0)) {
          const nextCursor = next === null ? null : encodeCursor(next);
          reply.header('vary', 'accept');
          const answer = { data, hasMore: next !== null, nextCursor, position };
          if (!wantsCsv(query.format, request.headers.accept)) return answer;
          reply
            .type('text/csv; charset=utf-8')
            .header('content-disposition', 'attachment; filename="ledger.csv"')
            .header('x-position', String(position))
            .header('x-next-cursor', nextCursor ?? '');
          return toCsv(columnsOf(CsvRow), data) as unknown as typeof answer; // text is sent as it is
        }
        if (signal.aborted || performance.now() > deadline)
          throw problem('read_model_behind', {
            detail: `the ledger is at ${position}, ${query.minPosition} was asked for`,
          });
        await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
      }
    },
  );
}

/** A cost that is not known is an empty cell. */
const CsvRow = Type.Object({
  ...LedgerEntry.properties,
  cost: Type.Object({ nanoUsd: Type.Integer(), usd: Type.String() }),
  bound: Type.Object({ nanoUsd: Type.Integer(), usd: Type.String() }),
});

const encodeCursor = (position: number): string => Buffer.from(String(position)).toString('base64url');

function decodeCursor(cursor: string): number {
  const text = Buffer.from(cursor, 'base64url').toString();
  if (!/^[1-9]\d{0,14}$/.test(text) || encodeCursor(Number(text)) !== cursor)
    throw invalidParameter('cursor', 'is not one that was given');
  return Number(text);
}
