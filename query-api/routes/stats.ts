/** GET /stats/users, /stats/models, /stats/usage, /stats/latency. */
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import type { FastifyReply } from 'fastify';
import { LatencyStats, ModelStats, Stats, UsageStats, UserStats, UsersAnswer } from '../../contracts/http/queries.ts';
import type { Server } from '../../platform/http/server.ts';
import type { ReadDeps } from '../deps.ts';
import { cachedStats } from '../read-models/cached-stats.ts';
import { DAY_MS } from '../read-models/segments.ts';
import { latencyStats, modelStats, usageStats, userStats } from '../read-models/stats.ts';
import { createStatsReader, type Question, type StatsAnswer } from '../read-models/stats-reader.ts';
import { readChosen } from './chosen-version.ts';
import { columnsOf, toCsv, wantsCsv } from './csv.ts';
import { LatencyQuery, lookingBack, ModelsQuery, questionOf, seriesOf, UsageQuery, UsersQuery } from './stats-query.ts';

/** By status there are counts only. */
const StatusCount = Type.Object({
  bucket: UsageStats.properties.bucket,
  status: Type.String(),
  prompts: UsageStats.properties.prompts,
});
const UsageAnswer = Stats(Type.Union([UsageStats, StatusCount]));

const MOST_USERS = 10_000;

export function statsRoutes(server: Server, deps: ReadDeps): void {
  const reader = createStatsReader(deps);

  /** What was chosen is seldom asked for, and ends with its version: it is not kept. */
  const answerTo = <T extends StatsAnswer<unknown>>(
    { chosen, point }: Question,
    key: unknown[],
    ask: () => Promise<T>,
  ): Promise<T> => (chosen ? readChosen(chosen, ask) : cachedStats(deps, key, point, ask));

  server.get(
    '/stats/users',
    { schema: described('Cost per user, those who spent most first', UsersQuery, UsersAnswer) },
    async (request, reply) => {
      const limit = request.query.limit ?? MOST_USERS;
      const question = await questionOf(deps, request.query, request.principal, reply);
      const answer = await answerTo(question, ['users', question.filter, limit], () =>
        userStats(reader, question, limit),
      );
      return send(request, reply, UserStats, answer, answer.other ? [...answer.data, answer.other] : answer.data);
    },
  );

  server.get(
    '/stats/models',
    { schema: described('Popularity of models', ModelsQuery, Stats(ModelStats)) },
    async (request, reply) => {
      const question = await questionOf(deps, request.query, request.principal, reply);
      const answer = await answerTo(question, ['models', question.filter], () => modelStats(reader, question));
      return send(request, reply, ModelStats, answer);
    },
  );

  server.get(
    '/stats/usage',
    { schema: described('Usage over time, by time of submission', UsageQuery, UsageAnswer) },
    async (request, reply) => {
      const asked = await questionOf(deps, request.query, request.principal, reply);
      const { question, series, zone } = seriesOf(deps.live, request.query, asked, await reader.extent());
      const { starts: _, ...shape } = series;
      const answer = await answerTo(question, ['usage', asked.filter, shape, zone], () =>
        usageStats(reader, question, series),
      );
      const row = series.groupBy === 'status' ? StatusCount : usageRow(series.groupBy);
      return send(request, reply, row, answer as StatsAnswer<Static<typeof UsageStats>>);
    },
  );

  server.get(
    '/stats/latency',
    { schema: described('Percentiles of waiting, model and total time', LatencyQuery, Stats(LatencyStats)) },
    async (request, reply) => {
      const asked = await questionOf(deps, request.query, request.principal, reply);
      const question = lookingBack(deps.live, asked, DAY_MS);
      const answer = await answerTo(question, ['latency', asked.filter], () => latencyStats(reader, question));
      return send(request, reply, LatencyStats, answer);
    },
  );
}

function usageRow(groupBy: 'model' | 'user' | null): TSchema {
  if (groupBy === 'model') return Type.Omit(UsageStats, ['userId']);
  return groupBy === 'user' ? Type.Omit(UsageStats, ['model']) : Type.Omit(UsageStats, ['model', 'userId']);
}

const described = <Q extends TSchema, A extends TSchema>(summary: string, querystring: Q, answer: A) => ({
  summary,
  tags: ['statistics'],
  querystring,
  produces: ['application/json', 'text/csv'],
  response: { 200: answer },
});

/** A model's name may hold what no header may. */
const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?');

/** As JSON, or its rows as CSV: position and time stand in headers then, and the version that was chosen. */
function send<T extends StatsAnswer<object>>(
  request: { query: { format?: 'json' | 'csv' }; headers: { accept?: string | undefined }; url: string },
  reply: FastifyReply,
  row: TSchema,
  answer: T,
  rows: object[] = answer.data,
): T {
  reply.header('vary', 'accept');
  if (!wantsCsv(request.query.format, request.headers.accept)) return answer;
  const name = request.url.split('?')[0]!.split('/').at(-1);
  reply
    .type('text/csv; charset=utf-8')
    .header('content-disposition', `attachment; filename="${name}.csv"`)
    .header('x-position', String(answer.position))
    .header('x-as-of', answer.asOf ?? '');
  if (answer.version !== undefined)
    reply.header('x-version', String(answer.version)).header('x-prices', printable(answer.prices ?? ''));
  return toCsv(columnsOf(row), rows) as unknown as T; // text is sent as it is
}
