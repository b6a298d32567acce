/** What is asked: statistics and history in every way that they can be asked, each time about something else. */
import type { Random } from '../../kit/random.ts';
import type { Place, PlaceKind, Sample } from './sample.ts';

export type Question = {
  what: string;
  /** Path and query. */
  ask: (place: Place, draw: Draw) => string;
  /** Of one user, prompt or conversation, or of everybody. */
  about: 'one' | 'all';
  /** What may be asked about. */
  places: PlaceKind;
  /** HTTP status of the answer. */
  status: 200 | 410;
};
export type Draw = {
  /** `from` and `to` of a range of the log: at least an hour, at most so many days. */
  range: (days: number) => Record<'from' | 'to', string>;
  between: Random['between'];
};

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

export function drawer({ firstMs, lastMs }: Pick<Sample, 'firstMs' | 'lastMs'>, random: Random): Draw {
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
type Parametrize = (place: Place, draw: Draw) => Parameters;

/** Back in time one can look as far as the floor. */
const about = (what: string, to: string, parameters: Parametrize, of: 'one' | 'all' = 'all'): Question => ({
  what: `${to} ${what}`,
  ask: (place, draw) => path(to, parameters(place, draw)),
  about: of,
  places: what.includes('asOf') ? 'in the log' : 'anywhere',
  status: 200,
});
const aboutOne = (what: string, to: string, parameters: Parametrize) => about(what, to, parameters, 'one');
const aboutPrompt = (what: string, places: PlaceKind, ask: (place: Place) => string): Question => ({
  what,
  ask,
  about: 'one',
  places,
  status: 200,
});
const gone = (question: Question): Question => ({
  ...question,
  what: `${question.what}, archived: 410`,
  places: 'archived',
  status: 410,
});

const pageKey = ({ submittedAt, promptId }: Place) => Buffer.from(`${submittedAt} ${promptId}`).toString('base64url');
const entryKey = ({ position }: Place) => Buffer.from(String(position)).toString('base64url');
const limit = (draw: Draw) => draw.between(40, 60);

const timeline = aboutPrompt('/prompts/{id}/events', 'in the log', ({ promptId }) => `/prompts/${promptId}/events`);
const history: Question[] = [
  about('first page', '/prompts', (_, d) => ({ limit: limit(d) })),
  aboutOne('first page of a user', '/prompts', ({ userId }) => ({ userId })),
  about('page in the middle', '/prompts', (p) => ({ cursor: pageKey(p) })),
  aboutOne('page in the middle, of a user', '/prompts', (p) => ({ userId: p.userId, cursor: pageKey(p) })),
  about('200 in the middle', '/prompts', (p) => ({ cursor: pageKey(p), limit: 200 })),
  about('of a range', '/prompts', (_, d) => d.range(7)),
  about('of a model', '/prompts', (p) => ({ model: p.model, cursor: pageKey(p) })),
  aboutOne('of a user and model', '/prompts', (p) => ({ userId: p.userId, model: p.model })),
  about('failed', '/prompts', (p) => ({ status: 'failed', cursor: pageKey(p) })),
  aboutOne('failed, of a user', '/prompts', (p) => ({ status: 'failed', userId: p.userId })),
  about('running, of which there is none', '/prompts', (_, d) => ({ status: 'running', limit: limit(d) })),
  aboutOne('running, of a user who has none', '/prompts', (p) => ({ status: 'running', userId: p.userId })),
  aboutOne('of a conversation', '/prompts', ({ conversationId }) => ({ conversationId })),
  about('with a word of one prompt', '/prompts', ({ name }) => ({ q: name })),
  about('with a word of one in a thousand', '/prompts', ({ topic }) => ({ q: topic })),
  about('with a word of most', '/prompts', (p) => ({ q: 'sky', cursor: pageKey(p) })),
  aboutOne('with a word of one in a thousand, of a user', '/prompts', (p) => ({ q: p.topic, userId: p.userId })),
  aboutOne('with words of most, of a user', '/prompts', (p) => ({ q: 'slow harbours', userId: p.userId })),
  about('asOf a time', '/prompts', (p) => ({ asOf: p.recordedAt })),
  about('asOf a position', '/prompts', (p) => ({ asOf: p.position })),
  aboutOne('asOf a time, of a user', '/prompts', (p) => ({ asOf: p.recordedAt, userId: p.userId })),
  about('asOf a position, failed', '/prompts', (p) => ({ asOf: p.position, status: 'failed' })),
  about('asOf a position, running', '/prompts', (p) => ({ asOf: p.position, status: 'running' })),
  aboutPrompt('/prompts/{id}', 'anywhere', ({ promptId }) => `/prompts/${promptId}`),
  aboutPrompt('/prompts/{id} asOf a position', 'in the log', (p) =>
    path(`/prompts/${p.promptId}`, { asOf: p.position }),
  ),
  timeline,
];

const ledger: Question[] = [
  about('first page', '/ledger', (_, d) => ({ limit: limit(d) })),
  about('page in the middle', '/ledger', (p) => ({ cursor: entryKey(p) })),
  aboutOne('of a user', '/ledger', ({ userId }) => ({ userId })),
  aboutOne('of a user, in the middle', '/ledger', (p) => ({ userId: p.userId, cursor: entryKey(p) })),
  aboutOne('of a prompt', '/ledger', ({ promptId }) => ({ promptId })),
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
  const ways: [what: string, parameters: Parametrize][] = [
    ['of a range', (_, d) => d.range(60)],
    ['of a user', (p, d) => ({ userId: p.userId, ...d.range(60) })],
    ['of a model', (p, d) => ({ model: p.model, ...d.range(60) })],
    ['asOf a time', (p) => ({ asOf: p.recordedAt })],
    ['asOf a position, of a range', (p, d) => ({ asOf: p.position, from: earlier(p, d) })],
    ['asOf a position, of a user', (p) => ({ asOf: p.position, userId: p.userId })],
    ['of a range, as CSV', (_, d) => ({ ...d.range(60), format: 'csv' })],
  ];
  return ways.map(([what, own]) => {
    const parameters: Parametrize = (p, d) => ({ ...fixed, ...own(p, d) });
    return about([...text, what].join(', '), to, parameters, what.endsWith('of a user') ? 'one' : 'all');
  });
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

const archived = [
  timeline,
  about('asOf a time', '/prompts', (p) => ({ asOf: p.recordedAt })),
  about('asOf a position', '/stats/users', (p) => ({ asOf: p.position })),
].map(gone);

export const questions: readonly Question[] = [...history, ...ledger, ...statistics, ...archived];
