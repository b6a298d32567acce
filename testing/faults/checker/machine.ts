/** I12, I13, I14: the system comes to rest, stays within bounds, and keeps its secrets. */
import { type Judge, say, type Violation } from './streams.ts';

export const liveness: Judge = ({ cleanAt, quietAt, limits, database, redis, unexpectedExits }) => {
  const told = say('I12');
  const violations: Violation[] = [];
  if (cleanAt === null) violations.push(told(null, 'the system did not come to rest'));
  else if (cleanAt - quietAt > limits.cleanWithinMs)
    violations.push(told(null, `at rest only after ${cleanAt - quietAt} ms`));
  for (const { promptId, state } of database.outbox)
    violations.push(told(promptId, `is left in the outbox (${state})`));
  if (redis.tasksLength > 0 || redis.tasksPending > 0) {
    violations.push(told(null, `${redis.tasksLength} task entries, ${redis.tasksPending} pending are left`));
  }
  const head = database.log.at(-1)?.position ?? 0;
  if (database.cursor !== head) violations.push(told(null, `the projector is at ${database.cursor} of ${head}`));
  for (const id of database.parkedStreams) violations.push(told(id, 'is parked by the projector'));
  for (const { service, code, signal, said } of unexpectedExits) {
    violations.push(
      told(null, `${service} ended by itself, or not as it should (${code ?? signal}): ${said.slice(-600)}`),
    );
  }
  return violations;
};

export const bounds: Judge = ({ plan, samples, postgresConnections, redis, limits }) => {
  const told = say('I13');
  const over = (what: string, is: number, limit: number): Violation[] =>
    is > limit ? [told(null, `${what}: ${is}, at most ${limit}`)] : [];
  // In virtual time there is no process.
  const isMeasured = plan.kind === 'simulation' || samples.length > 0;
  const most = (pick: (sample: (typeof samples)[number]) => number) =>
    samples.reduce((max, sample) => Math.max(max, pick(sample)), 0);
  return [
    ...(isMeasured ? [] : [told(null, 'nothing was measured')]),
    ...over(
      'memory of a process',
      most(({ rssBytes }) => rssBytes),
      limits.rssBytes,
    ),
    ...over(
      'open files of a process',
      most(({ openFiles }) => openFiles),
      limits.openFiles,
    ),
    ...over(
      `connections to Postgres (${postgresConnections.whose})`,
      postgresConnections.most,
      limits.postgresConnections,
    ),
    ...over('task entries', redis.longestTasks, limits.tasksLength),
  ];
};

export const secrets: Judge = ({ secretsFound }) =>
  secretsFound.map(({ where, what }) => say('I14')(null, `${what} in ${where}`));
