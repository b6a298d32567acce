/** What the statistics may be asked: parameters, their bounds, and the ranges that follow from them. */
import { type Static, Type } from '@sinclair/typebox';
import type { FastifyReply } from 'fastify';
import { VersionNumber } from '../../contracts/http/projections.ts';
import type { KeyHolder } from '../../platform/postgres/api-keys.ts';
import type { ReadDeps } from '../deps.ts';
import { endOfBucket } from '../read-models/as-of.ts';
import type { LiveModel } from '../read-models/live-model.ts';
import { DAY_MS, floorTo, HOUR_MS, QUARTER_MS } from '../read-models/segments.ts';
import type { Series } from '../read-models/stats.ts';
import type { Extent, Question } from '../read-models/stats-reader.ts';
import { bucketStarts, findZone, UTC } from '../read-models/time-zone.ts';
import { pointOf } from './as-of.ts';
import { chosenVersionOf } from './chosen-version.ts';
import { clientGone } from './client-gone.ts';
import { asOf, invalidParameter, minPosition, Name, timeOf, timeRange } from './query-parts.ts';
import { awaitPosition } from './read-your-writes.ts';

const common = {
  ...timeRange,
  model: Type.Optional(Name),
  userId: Type.Optional(Name),
  emulated: Type.Optional(
    Type.Union([Type.Literal('only'), Type.Literal('include')], {
      description: 'Emulated prompts are left out once a real key has been used; this says otherwise',
    }),
  ),
  asOf,
  minPosition,
  version: Type.Optional(
    Type.Unsafe<number>({
      ...VersionNumber,
      description:
        'Admins: answer from this version of the read model instead of the one that is served, as one that is kept with other prices. GET /projections lists them',
    }),
  ),
  format: Type.Optional(
    Type.Union([Type.Literal('json'), Type.Literal('csv')], { description: 'Instead of the header Accept' }),
  ),
};
const closed = { additionalProperties: false };
const limit = (description: string) => Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, description }));

export const ModelsQuery = Type.Object(common, closed);
export const LatencyQuery = ModelsQuery;
export const UsersQuery = Type.Object(
  { ...common, limit: limit('Users with a row of their own: 10,000 at most, and unless said') },
  closed,
);
export const UsageQuery = Type.Object(
  {
    ...common,
    bucket: Type.Optional(Type.Union([Type.Literal('hour'), Type.Literal('day')])),
    groupBy: Type.Optional(Type.Union([Type.Literal('model'), Type.Literal('user'), Type.Literal('status')])),
    timeZone: Type.Optional(
      Type.String({
        maxLength: 64,
        description: 'Of hours and days: a name of the IANA database',
        examples: ['Europe/Berlin'],
      }),
    ),
    limit: limit('With groupBy=user: users with rows of their own: 100 at most, and unless said'),
  },
  closed,
);

/** Without `from`, series look back so far from `to`, else from the last event folded. */
const LOOK_BACK = { hour: 48 * HOUR_MS, day: 90 * DAY_MS };
const MOST_BUCKETS = { hour: 2_000, day: 800 };
const MOST_USERS_IN_SERIES = 100;

/** Whom and what an answer speaks of. A user is answered about own prompts only. */
export async function questionOf(
  deps: ReadDeps,
  query: Static<typeof ModelsQuery>,
  who: KeyHolder,
  reply: FastifyReply,
): Promise<Question> {
  const isAdmin = who.role === 'admin';
  if (query.userId !== undefined && query.userId !== who.userId && !isAdmin) {
    throw invalidParameter('userId', 'of another user is for admins');
  }
  const [from, to] = [timeOf('from', query.from), timeOf('to', query.to)];
  const chosen = await chosenVersionOf(deps, query, who);
  const signal = clientGone(reply);
  await awaitPosition(deps.live, query.minPosition, signal);
  return {
    filter: {
      userId: isAdmin ? (query.userId ?? null) : who.userId,
      model: query.model ?? null,
      emulated: query.emulated ?? 'default',
      range: { from: quarterOf(from), to: quarterOf(to) },
    },
    chosen,
    point: await pointOf(deps, query.asOf, signal),
    signal,
  };
}

const quarterOf = (time: string | null) => (time === null ? null : floorTo(Date.parse(time), QUARTER_MS));

/** Without `from`: `ms` back from the end, or from the last event. */
export function lookingBack(live: Pick<LiveModel, 'current'>, question: Question, ms: number): Question {
  const { range } = question.filter;
  const last = range.to ?? timeOfEvent(endOf(question) ?? live.current().asOf);
  if (range.from !== null || last === null) return question;
  return withRange(question, { ...range, from: floorTo(last - ms, QUARTER_MS) });
}

/** The last event that an answer can speak of, where that is not the last one there is. */
const endOf = ({ point, chosen }: Question): string | null => point?.recordedAt ?? chosen?.asOf ?? null;
const timeOfEvent = (time: string | null) => (time === null ? null : Date.parse(time));
const withRange = (question: Question, range: Question['filter']['range']): Question => ({
  ...question,
  filter: { ...question.filter, range },
});

/** `extent`: outside of it nothing was submitted, and a range may reach beyond it as far as it likes. */
export function seriesOf(
  live: Pick<LiveModel, 'current'>,
  query: Static<typeof UsageQuery>,
  asked: Question,
  extent: Extent,
) {
  const { bucket = 'hour', groupBy = null } = query;
  const { limit = MOST_USERS_IN_SERIES } = query;
  if (query.limit !== undefined && groupBy !== 'user') throw invalidParameter('limit', 'is for groupBy=user');
  if (limit > MOST_USERS_IN_SERIES) throw invalidParameter('limit', `is at most ${MOST_USERS_IN_SERIES} here`);
  const zone = query.timeZone === undefined ? UTC : findZone(query.timeZone);
  if (!zone) throw invalidParameter('timeZone', 'is no time zone of the IANA database, such as Europe/Berlin');
  const question = lookingBack(live, asked, LOOK_BACK[bucket]);
  const now = Math.max(Date.now(), timeOfEvent(live.current().asOf) ?? 0);
  const last = endOf(question);
  const end = last === null ? floorTo(now, QUARTER_MS) + QUARTER_MS : endOfBucket({ recordedAt: last });
  const range = {
    from: Math.max(question.filter.range.from ?? end, floorTo(extent.from, QUARTER_MS)),
    // What is submitted while this is answered belongs to a bucket that there is.
    to: Math.min(question.filter.range.to ?? end, last === null ? floorTo(extent.to, QUARTER_MS) : end),
  };
  const starts = bucketStarts(zone, bucket, range.from, range.to, MOST_BUCKETS[bucket]);
  if (!starts) throw invalidParameter('from', `asks for more than ${MOST_BUCKETS[bucket]} buckets`);
  const series: Series = { bucket, groupBy, starts, limit };
  return { question: withRange(question, range), series, zone: zone.name };
}
