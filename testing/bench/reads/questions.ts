/** What is asked: statistics and history in every way that they can be asked, each time about something else. */
import type { Random } from '../../kit/random.ts';
import type { Place, Sample } from './sample.ts';

export type Question = {
  what: string;
  /** Path and query. */
  ask: (place: Place, draw: Draw) => string;
};
export type Draw = {
  /** `from` and `to` of a range of the log: at least an hour, at most so many days. */
  range: (days: number) => Record<'from' | 'to', string>;
  between: Random['between'];
};

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

export function drawer({ firstMs, lastMs }: Sample, random: Random): Draw {
  return {
    between: random.between,
    range: (days) => {
      const length = random.between(HOUR_MS, Math.min(days * DAY_MS, lastMs - firstMs));
      const from = random.between(firstMs, lastMs - length);
      return { from: new Date(from).toISOString(), to: new Date(from + length).toISOString() };
    },
  };
}

type Parameters = Record<string, string | number>;
const path = (to: string, parameters: Parameters): string => {
  const query = new URLSearchParams(Object.entries(parameters).map(([name, value]) => [name, String(value)]));
  return query.size === 0 ? to : `${to}?${query}`;
};
const about = (what: string, to: string, parameters: (place: Place, draw: Draw) => Parameters): Question => ({
  what: `${to} ${what}`,
  ask: (place, draw) => path(to, parameters(place, draw)),
});

const pageKey = ({ submittedAt, promptId }: Place) => Buffer.from(`${submittedAt} ${promptId}`).toString('base64url');
const entryKey = ({ position }: Place) => Buffer.from(String(position)).toString('base64url');
const limit = (draw: Draw) => draw.between(40, 60);

const history: Question[] = [
  about('first page', '/prompts', (_, d) => ({ limit: limit(d) })),
  about('first page of a user', '/prompts', ({ userId }) => ({ userId })),
  about('page in the middle', '/prompts', (p) => ({ cursor: pageKey(p) })),
  about('page in the middle, of a user', '/prompts', (p) => ({ userId: p.userId, cursor: pageKey(p) })),
  about('200 in the middle', '/prompts', (p) => ({ cursor: pageKey(p), limit: 200 })),
  about('of a range', '/prompts', (_, d) => d.range(7)),
  about('of a model', '/prompts', (p) => ({ model: p.model, cursor: pageKey(p) })),
  about('of a user and model', '/prompts', (p) => ({ userId: p.userId, model: p.model })),
  about('failed', '/prompts', (p) => ({ status: 'failed', cursor: pageKey(p) })),
  about('failed, of a user', '/prompts', (p) => ({ status: 'failed', userId: p.userId })),
  about('running, of which there is none', '/prompts', (_, d) => ({ status: 'running', limit: limit(d) })),
  about('running, of a user who has none', '/prompts', (p) => ({ status: 'running', userId: p.userId })),
  about('of a conversation', '/prompts', ({ conversationId }) => ({ conversationId })),
  about('with a word of one prompt', '/prompts', ({ name }) => ({ q: name })),
  about('with a word of one in a thousand', '/prompts', ({ topic }) => ({ q: topic })),
  about('with a word of most', '/prompts', (p) => ({ q: 'sky', cursor: pageKey(p) })),
  about('with a word of one in a thousand, of a user', '/prompts', (p) => ({ q: p.topic, userId: p.userId })),
  about('with words of most, of a user', '/prompts', (p) => ({ q: 'slow harbours', userId: p.userId })),
  about('asOf a time', '/prompts', (p) => ({ asOf: p.recordedAt })),
  about('asOf a position', '/prompts', (p) => ({ asOf: p.position })),
  about('asOf a time, of a user', '/prompts', (p) => ({ asOf: p.recordedAt, userId: p.userId })),
  about('asOf a position, failed', '/prompts', (p) => ({ asOf: p.position, status: 'failed' })),
  about('asOf a position, running', '/prompts', (p) => ({ asOf: p.position, status: 'running' })),
  { what: '/prompts/{id}', ask: ({ promptId }) => `/prompts/${promptId}` },
  { what: '/prompts/{id} asOf a position', ask: (p) => path(`/prompts/${p.promptId}`, { asOf: p.position }) },
  { what: '/prompts/{id}/events', ask: ({ promptId }) => `/prompts/${promptId}/events` },
];

const ledger: Question[] = [
  about('first page', '/ledger', (_, d) => ({ limit: limit(d) })),
  about('page in the middle', '/ledger', (p) => ({ cursor: entryKey(p) })),
  about('of a user', '/ledger', ({ userId }) => ({ userId })),
  about('of a user, in the middle', '/ledger', (p) => ({ userId: p.userId, cursor: entryKey(p) })),
  about('of a prompt', '/ledger', ({ promptId }) => ({ promptId })),
  about('of a range', '/ledger', (_, d) => d.range(7)),
  about('wasted', '/ledger', (p) => ({ state: 'wasted', cursor: entryKey(p) })),
  about('reserved, of which there is none', '/ledger', (_, d) => ({ state: 'reserved', limit: limit(d) })),
  about('of a model, 500 as CSV', '/ledger', (p) => ({
    model: p.model,
    cursor: entryKey(p),
    limit: 500,
    format: 'csv',
  })),
];

/** Each statistic: of all time, of ranges, of a user, of a model, back in time, as CSV. */
const everyWay = (to: string, fixed: Parameters = {}): Question[] => {
  const text = Object.entries(fixed).map(([name, value]) => `${name}=${value}`);
  const ways: [what: string, parameters: (place: Place, draw: Draw) => Parameters][] = [
    ['of a range', (_, d) => d.range(60)],
    ['of a user', (p, d) => ({ userId: p.userId, ...d.range(60) })],
    ['of a model', (p, d) => ({ model: p.model, ...d.range(60) })],
    ['asOf a time', (p) => ({ asOf: p.recordedAt })],
    ['asOf a position, of a range', (p, d) => ({ asOf: p.position, from: earlier(p, d) })],
    ['asOf a position, of a user', (p) => ({ asOf: p.position, userId: p.userId })],
    ['of a range, as CSV', (_, d) => ({ ...d.range(60), format: 'csv' })],
  ];
  return ways.map(([what, own]) => about([...text, what].join(', '), to, (p, d) => ({ ...fixed, ...own(p, d) })));
};
const earlier = (p: Place, d: Draw) =>
  new Date(Date.parse(p.recordedAt) - d.between(HOUR_MS, 30 * DAY_MS)).toISOString();

const statistics: Question[] = [
  about('all time', '/stats/users', () => ({})),
  ...everyWay('/stats/users', { limit: 100 }),
  about('of a range, 10,000 rows at most', '/stats/users', (_, d) => d.range(60)),
  about('all time', '/stats/models', () => ({})),
  ...everyWay('/stats/models'),
  about('last day', '/stats/latency', () => ({})),
  ...everyWay('/stats/latency'),
  ...everyWay('/stats/usage', { bucket: 'day' }),
  ...everyWay('/stats/usage', { bucket: 'hour' }),
  ...everyWay('/stats/usage', { bucket: 'day', groupBy: 'model', timeZone: 'Europe/Berlin' }),
  ...everyWay('/stats/usage', { bucket: 'hour', groupBy: 'status', timeZone: 'Asia/Kathmandu' }),
  ...everyWay('/stats/usage', { bucket: 'day', groupBy: 'user', limit: 10 }),
  about('bucket=hour, groupBy=user, two days', '/stats/usage', (_, d) => ({
    bucket: 'hour',
    groupBy: 'user',
    ...d.range(2),
  })),
];

export const questions: readonly Question[] = [...history, ...ledger, ...statistics];
