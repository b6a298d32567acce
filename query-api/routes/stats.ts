/** GET /stats/users, /stats/models, /stats/usage, /stats/latency. */
import { type Static, Type } from '@sinclair/typebox';
import { LatencyStats, ModelStats, Stats, UsageStats, UserStats } from '../../contracts/http/queries.ts';
import type { Server } from '../../platform/http/server.ts';
import type { KeyHolder } from '../../platform/postgres/api-keys.ts';
import type { ReadDeps } from '../deps.ts';
import { cachedStats } from '../read-models/cached-stats.ts';
import { latencyStats, modelStats, type StatsFilter, usageStats, userStats } from '../read-models/stats.ts';
import { clientGone } from './client-gone.ts';
import { invalidParameter, minPosition, Name, timeOf, timeRange } from './query-parts.ts';
import { awaitPosition } from './read-your-writes.ts';
import { floorToQuarter } from './time-range.ts';

const common = {
  ...timeRange,
  model: Type.Optional(Name),
  userId: Type.Optional(Name),
  emulated: Type.Optional(
    Type.Union([Type.Literal('only'), Type.Literal('include')], {
      description: 'Emulated prompts are left out once a real key has been used; this says otherwise',
    }),
  ),
  minPosition,
};
const StatsQuery = Type.Object(common, { additionalProperties: false });
const UsageQuery = Type.Object(
  {
    ...common,
    bucket: Type.Optional(Type.Union([Type.Literal('hour'), Type.Literal('day')])),
    groupBy: Type.Optional(Type.Union([Type.Literal('model'), Type.Literal('user'), Type.Literal('status')])),
  },
  { additionalProperties: false },
);
/** By status there are counts only. */
const StatusCount = Type.Object({
  bucket: UsageStats.properties.bucket,
  status: Type.String(),
  prompts: UsageStats.properties.prompts,
});

const UsageAnswer = Stats(Type.Union([UsageStats, StatusCount]));

/** Without `from`, series and histograms look back so far from the last event folded: they have no all-time sums. */
const HOUR_MS = 3_600_000;
const LOOK_BACK = { hour: 48 * HOUR_MS, day: 90 * 24 * HOUR_MS, latency: 24 * HOUR_MS };

export function statsRoutes(server: Server, deps: ReadDeps): void {
  const { live, pool } = deps;
  const tags = ['statistics'];
  type Common = Static<typeof StatsQuery>;

  const sinceLast = (filter: StatsFilter, ms: number): StatsFilter => {
    const last = filter.to ?? live.current().asOf;
    if (filter.from !== null || last === null) return filter;
    return { ...filter, from: floorToQuarter(new Date(Date.parse(last) - ms).toISOString()) };
  };

  server.get(
    '/stats/users',
    {
      schema: { summary: 'Cost per user', tags, querystring: StatsQuery, response: { 200: Stats(UserStats) } },
    },
    async (request, reply) => {
      const filter = filterOf(request.query, request.principal);
      await awaitPosition(live, request.query.minPosition, clientGone(reply));
      return cachedStats(deps, ['users', filter], () => userStats(pool, live, filter));
    },
  );

  server.get(
    '/stats/models',
    {
      schema: { summary: 'Popularity of models', tags, querystring: StatsQuery, response: { 200: Stats(ModelStats) } },
    },
    async (request, reply) => {
      const filter = filterOf(request.query, request.principal);
      await awaitPosition(live, request.query.minPosition, clientGone(reply));
      return cachedStats(deps, ['models', filter], () => modelStats(pool, live, filter));
    },
  );

  server.get(
    '/stats/usage',
    {
      schema: {
        summary: 'Usage over time, by time of submission',
        tags,
        querystring: UsageQuery,
        response: { 200: UsageAnswer },
      },
    },
    async (request, reply) => {
      const { bucket = 'hour', groupBy = null } = request.query;
      const asked = filterOf(request.query, request.principal);
      await awaitPosition(live, request.query.minPosition, clientGone(reply));
      const filter = sinceLast(asked, LOOK_BACK[bucket]);
      const series = { bucket, groupBy };
      return cachedStats<Static<typeof UsageStats> | Static<typeof StatusCount>>(
        deps,
        ['usage', filter, series],
        async () => usageStats(pool, live, filter, series),
      );
    },
  );

  server.get(
    '/stats/latency',
    {
      schema: {
        summary: 'Percentiles of waiting, model and total time',
        tags,
        querystring: StatsQuery,
        response: { 200: Stats(LatencyStats) },
      },
    },
    async (request, reply) => {
      const asked = filterOf(request.query, request.principal);
      await awaitPosition(live, request.query.minPosition, clientGone(reply));
      const filter = sinceLast(asked, LOOK_BACK.latency);
      return cachedStats(deps, ['latency', filter], () => latencyStats(pool, live, filter));
    },
  );

  function filterOf(query: Common, who: KeyHolder): StatsFilter {
    const isAdmin = who.role === 'admin';
    if (query.userId !== undefined && query.userId !== who.userId && !isAdmin) {
      throw invalidParameter('userId', 'of another user is for admins');
    }
    const [from, to] = [timeOf('from', query.from), timeOf('to', query.to)];
    return {
      userId: isAdmin ? (query.userId ?? null) : who.userId,
      model: query.model ?? null,
      emulated: query.emulated ?? 'default',
      from: from && floorToQuarter(from),
      to: to && floorToQuarter(to),
    };
  }
}
