/** Every invariant broken in several ways: what the judge must condemn, and by which name. */
import type { Evidence, LoggedEvent, Operation } from '../evidence.ts';
import type { InvariantId } from './check.ts';
import { ids } from './good-run.ts';

export type Spoil = (run: Evidence) => void;
export const event = (run: Evidence, id: string, type: string, nth = 1): LoggedEvent =>
  run.database.log.filter((one) => one.streamId === id && one.type === type)[nth - 1]!;
const remove = <T>(list: T[], item: T | undefined) => void list.splice(list.indexOf(item as T), 1);
/** Appends to the log as a rogue writer would, everything else in order. */
function append(run: Evidence, streamId: string, type: string, data: Partial<LoggedEvent['data']> = {}): void {
  const { log } = run.database;
  const own = log.filter((one) => one.streamId === streamId);
  const position = log.length + 1;
  const { userId, model } = (own[0] ?? log[0]!).data;
  log.push({
    position,
    streamId,
    version: own.length + 1,
    eventId: `e-${position}`,
    type,
    recordedAt: log.at(-1)!.recordedAt,
    data: { userId, model, ...data },
  });
  run.database.cursor = position;
}
export const of = (run: Evidence, kind: Operation['kind'], nth = 1): Operation =>
  run.operations.filter((one) => one.kind === kind)[nth - 1]!;
const copyOf = (run: Evidence, one: LoggedEvent): void => append(run, 'p-7', 'PromptSubmitted', one.data);
const answered = { attempt: 1, nanoUsd: 10, boundNanoUsd: null };
export const frames = (run: Evidence, user: string) => run.feed.find((one) => one.user === user)!.frames;

export const spoilt: Record<InvariantId, Record<string, Spoil>> = {
  I1: {
    'an accepted prompt is not in the log': (run) => {
      run.database.log = run.database.log.filter(({ streamId }) => streamId !== ids.expired);
    },
    'a prompt does not end': (run) => remove(run.database.log, event(run, ids.expired, 'PromptExpired')),
    'a redriven prompt does not end again': (run) =>
      remove(run.database.log, event(run, ids.redriven, 'PromptCompleted')),
    'an answer that was cut is taken for whole': (run) => {
      run.calls[0]!.fault = 'cut-at-event';
    },
    'an accepted prompt is not found by its user': (run) => {
      run.operations.at(-1)!.status = 404;
    },
  },
  I2: {
    'two ends': (run) => append(run, ids.plain, 'PromptFailed'),
    'an attempt after the end': (run) => append(run, ids.expired, 'AttemptStarted', { attempt: 1, token: 'x' }),
    'a failure after the end': (run) => append(run, ids.plain, 'AttemptFailed', { ...answered, end: 'retry' }),
    'a redrive of what did not fail': (run) => append(run, ids.plain, 'PromptRequeued'),
  },
  I3: {
    'one key, two prompts': (run) => {
      run.operations[1]!.promptId = ids.retried;
    },
    'one key, two bodies': (run) => {
      run.operations[1]!.bodyHash = 'other';
    },
    'one prompt, two users': (run) => {
      run.operations[3]!.user = 'ken';
      run.operations.push({ ...run.operations[3]!, user: 'ada' });
    },
    'one key in the log twice, and only one of them answered': (run) => {
      copyOf(run, {
        ...event(run, ids.plain, 'PromptSubmitted'),
        data: { ...event(run, ids.plain, 'PromptSubmitted').data, bodyHash: 'another' },
      });
    },
    'one body in the log twice': (run) => {
      const { data } = event(run, ids.retried, 'PromptSubmitted');
      copyOf(run, {
        ...event(run, ids.plain, 'PromptSubmitted'),
        data: { ...data, promptHash: 'new', bodyHash: `keyed ${ids.plain}` },
      });
    },
    'another body under a key taken after all': (run) => {
      const { data } = event(run, ids.plain, 'PromptSubmitted');
      copyOf(run, {
        ...event(run, ids.plain, 'PromptSubmitted'),
        data: { ...data, promptHash: 'other text', bodyHash: 'another' },
      });
    },
    'an ask without a key taken twice': (run) => copyOf(run, event(run, ids.retried, 'PromptSubmitted')),
    'a key of which the log keeps no hash': (run) => {
      event(run, ids.plain, 'PromptSubmitted').data.bodyHash = null;
    },
  },
  I4: {
    'a call without an attempt': (run) => {
      run.calls[0]!.attemptId = `${ids.plain}/7`;
    },
    'a call that names nothing': (run) => {
      run.calls[0]!.attemptId = null;
    },
    'a call before its attempt was on record': (run) => {
      run.calls[0]!.at -= 1_000;
    },
    'a call two milliseconds before its attempt was on record': (run) => {
      run.calls[0]!.at = Date.parse(event(run, ids.plain, 'AttemptStarted').recordedAt) - 2;
    },
    'an attempt called twice': (run) => run.calls.push({ ...run.calls[0]! }),
  },
  I5: {
    'two attempts at once': (run) => {
      const failed = event(run, ids.retried, 'AttemptFailed');
      const started = event(run, ids.retried, 'AttemptStarted', 2);
      [failed.type, started.type] = [started.type, failed.type];
      [failed.data, started.data] = [started.data, failed.data];
    },
    'a late failure counted': (run) => {
      event(run, ids.lost, 'AttemptDiscarded').type = 'AttemptFailed';
    },
    'an attempt left out': (run) => {
      event(run, ids.retried, 'AttemptStarted', 2).data.attempt = 3;
    },
    'one token twice': (run) => {
      event(run, ids.retried, 'AttemptStarted', 2).data.token = event(run, ids.retried, 'AttemptStarted').data.token!;
    },
    'an answer of an attempt that never began': (run) => {
      event(run, ids.plain, 'PromptCompleted').data.attempt = 4;
    },
    'an attempt never accounted for': (run) => remove(run.database.log, event(run, ids.cancelled, 'AttemptDiscarded')),
  },
  I6: {
    'a cost known twice': (run) => append(run, ids.plain, 'AttemptDiscarded', answered),
    'another cost than the provider charges': (run) => {
      event(run, ids.plain, 'PromptCompleted').data.nanoUsd = 11;
    },
    'a free attempt that was charged': (run) => Object.assign(run.calls[1]!, { billed: true, nanoUsd: 10 }),
    'a bound below the charge': (run) => {
      event(run, ids.cancelled, 'AttemptDiscarded').data.boundNanoUsd = 9;
    },
    'an unknown cost without a bound': (run) => {
      event(run, ids.cancelled, 'AttemptDiscarded').data.boundNanoUsd = null;
      run.database.totals[1]!.unknownBound -= 100;
    },
    'an answer that told what it used, and is not priced': (run) => {
      Object.assign(event(run, ids.plain, 'PromptCompleted').data, { nanoUsd: null, boundNanoUsd: 100 });
      Object.assign(run.database.totals[0]!, { confirmed: 10, unknownBound: 100 });
    },
    'a late answer that told what it used, and is not priced': (run) => {
      Object.assign(event(run, ids.lost, 'AttemptDiscarded').data, { nanoUsd: null, boundNanoUsd: 100 });
      Object.assign(run.database.totals[1]!, { wasted: 0, unknownBound: 200 });
    },
    'a blocked answer that told what it used, and is not priced': (run) => {
      Object.assign(run.calls[1]!, { billed: true, status: 200, fault: 'safety', nanoUsd: 10 });
      Object.assign(event(run, ids.retried, 'AttemptFailed').data, {
        end: 'failed',
        code: 'blocked',
        nanoUsd: null,
        boundNanoUsd: 100,
      });
      run.database.totals[0]!.unknownBound = 100;
    },
    'a sum that is off by one': (run) => {
      run.database.totals[1]!.wasted += 1;
    },
    'a user without sums': (run) => run.database.totals.pop(),
    'sums of nobody': (run) => run.database.totals.push({ ...run.database.totals[0]!, userId: 'nobody' }),
  },
  I7: {
    'more calls than attempts': (run) => run.calls.push({ ...run.calls[0]!, attemptId: `${ids.plain}/2` }),
    'never, called twice': (run) => {
      const later = run.database.log.filter(({ streamId }) => streamId === ids.plain).length + 1;
      append(run, ids.plain, 'AttemptStarted', { attempt: 2, token: `x-${later}` });
      run.calls.push({ ...run.calls[0]!, attemptId: `${ids.plain}/2` });
    },
    'asked again though the provider had answered': (run) => {
      Object.assign(run.calls[1]!, { status: 200 });
    },
    'a refusal of a provider that was not asked': (run) => remove(run.calls, run.calls[1]),
    'a connection lost on the way to a provider that nobody cut off': (run) => {
      remove(run.calls, run.calls[1]);
      Object.assign(event(run, ids.retried, 'AttemptFailed').data, { end: 'unknown', code: 'connection_lost' });
      const { at } = run.calls[0]!;
      run.impairments.push({ at, until: at, instance: 'worker-1', pid: 41, what: 'starved' });
    },
    'a connection lost that nobody cut': (run) => {
      Object.assign(run.calls[1]!, { status: 200 });
      Object.assign(event(run, ids.retried, 'AttemptFailed').data, { end: 'unknown', code: 'connection_lost' });
    },
    'called, and settled as if it had not been': (run) => {
      Object.assign(run.calls[1]!, { status: 200 });
      Object.assign(event(run, ids.retried, 'AttemptFailed').data, { end: 'not_called', code: 'not_called' });
    },
    'a lease lost, and nothing was done to anybody': (run) => {
      run.impairments = [];
    },
    'a lease lost, and Redis was away': (run) => {
      run.impairments[0]!.instance = 'redis';
      run.impairments[0]!.pid = null;
    },
    'a lease lost, and another worker was killed': (run) => {
      Object.assign(run.impairments[0]!, { instance: 'worker-2', pid: 42 });
    },
    'a lease lost, and another worker was cut off': (run) => {
      Object.assign(run.impairments[0]!, { instance: 'worker-2', pid: null, what: 'cut off' });
    },
    'a lease lost by a process that began after its forerunner was killed': (run) => {
      run.impairments[0]!.at -= 3_000;
      run.impairments[0]!.until -= 3_000;
    },
    'a lease lost, and its worker was killed only afterwards': (run) => {
      run.impairments[0]!.at += 3_000;
      run.impairments[0]!.until += 3_000;
    },
    'a lease lost, and its worker had stood still for a moment': (run) => {
      const { at } = run.impairments[0]!;
      run.impairments[0] = { at, until: at + 10, instance: 'worker-1', pid: 41, what: 'stalled' };
    },
    'a lease lost more than a lease after Postgres was back': (run) => {
      const lost = event(run, ids.lost, 'AttemptFailed');
      event(run, ids.lost, 'AttemptStarted').recordedAt = new Date(Date.parse(lost.recordedAt) - 60_000).toISOString();
      const until = Date.parse(lost.recordedAt) - run.limits.leaseMs - 1_600;
      Object.assign(run.impairments[0]!, { at: until - 100, until, instance: 'postgres', pid: null, what: 'away' });
    },
  },
  I8: {
    'a table that differs': (run) => {
      run.database.checksums.rebuilt['prompt'] = '6/2';
    },
    'a table that is missing': (run) => {
      delete run.database.checksums.rebuilt['prompt'];
    },
    'nothing compared': (run) => {
      run.database.checksums = { live: {}, rebuilt: {} };
    },
    'a status of its own': (run) => {
      run.database.prompts[0]!.status = 'running';
    },
    'a prompt without a row': (run) => run.database.prompts.pop(),
    'a row without a prompt': (run) => run.database.prompts.push({ ...run.database.prompts[0]!, promptId: 'p-9' }),
    'a row that stands still': (run) => {
      run.database.prompts[0]!.position -= 1;
    },
  },
  I9: {
    'a hole': (run) => remove(run.database.log, event(run, ids.lost, 'AttemptDiscarded')),
    'a version twice': (run) => {
      event(run, ids.plain, 'PromptCompleted').version = 2;
    },
    'time that goes back': (run) => {
      event(run, ids.retried, 'AttemptStarted').recordedAt = '2020-01-01T00:00:00.000Z';
    },
    'an id twice': (run) => {
      event(run, ids.retried, 'AttemptStarted').eventId = 'e-1';
    },
    'a cursor that lags': (run) => {
      run.database.cursor -= 1;
    },
  },
  I10: {
    'a foreign word in an answer': (run) => run.operations.at(-1)!.canariesOf.push('ken'),
    'a foreign word in an error': (run) => run.operations[6]!.canariesOf.push('ken'),
    'a foreign word in a frame': (run) => frames(run, 'ken')[1]!.canariesOf.push('ada'),
  },
  I11: {
    'an event missing': (run) => void frames(run, 'ada').splice(2, 1),
    'an event twice': (run) => void frames(run, 'ada').splice(2, 0, frames(run, 'ada')[2]!),
    'two events the wrong way round': (run) => {
      const sent = frames(run, 'root');
      [sent[1], sent[2]] = [sent[2]!, sent[1]!];
    },
    'an event of somebody else': (run) => {
      const foreign = frames(run, 'root').find(({ promptId }) => promptId === ids.expired)!;
      frames(run, 'ken').push(foreign);
    },
    'what came before was asked for, and not sent': (run) => {
      run.feed.find(({ user }) => user === 'ken')!.after = 0;
      run.feed.find(({ user }) => user === 'ada')!.after = 0;
    },
    'a position that passes over an event': (run) => void frames(run, 'ada').splice(-2, 1),
    'a feed that falls silent': (run) => void frames(run, 'ken').splice(-1, 1),
    'a feed that was greeted, and sent nothing': (run) => {
      run.feed.push({ user: 'ada', isAdmin: false, after: 3, brief: false, frames: [frames(run, 'ada')[0]!] });
    },
    'a greeting alone, of where the log is': (run) => {
      const hello = { ...frames(run, 'ada')[0]!, position: run.database.log.length };
      run.feed.push({ user: 'ada', isAdmin: false, after: 3, brief: false, frames: [hello] });
    },
    'a last connection that was not even greeted': (run) => {
      run.feed.push({ user: 'ada', isAdmin: false, after: run.database.log.length, brief: false, frames: [] });
    },
    'a user who has events and no connection': (run) => {
      run.feed = run.feed.filter(({ user, brief }) => user !== 'ada' || brief);
    },
    'a resync for a few events': (run) => {
      const [first] = frames(run, 'ada').splice(1, 1);
      frames(run, 'ada').splice(1, 0, { ...first!, type: 'resync', promptId: null, status: null });
    },
    'an event that a stream of server-sent events left out': (run) => {
      run.feed.find(({ brief }) => brief)!.frames.splice(1, 1);
    },
    'a last state that is not true': (run) => {
      frames(run, 'ada').findLast(({ type }) => type === 'event')!.status = 'running';
    },
  },
  I12: {
    'no rest': (run) => {
      run.cleanAt = null;
    },
    'rest too late': (run) => {
      run.cleanAt = run.quietAt + 10_001;
    },
    'a row left': (run) => run.database.outbox.push({ promptId: ids.plain, state: 'closing', dispatch: 1, token: 't' }),
    'a pending entry left': (run) => {
      run.redis.tasksPending = 1;
    },
    'a process that ended by itself': (run) =>
      run.unexpectedExits.push({ at: 1, service: 'worker-1', code: 1, signal: null, said: '' }),
    'a parked stream': (run) => run.database.parkedStreams.push(ids.plain),
  },
  I13: {
    memory: (run) => {
      run.samples[0]!.rssBytes = 1_001;
    },
    files: (run) => {
      run.samples[0]!.openFiles = 101;
    },
    connections: (run) => {
      run.postgresConnections = 51;
    },
    'the stream': (run) => {
      run.redis.longestTasks = 11;
    },
  },
  I14: { 'a secret in a log': (run) => run.secretsFound.push({ where: 'log worker-1', what: 'secret 0' }) },
  I15: {
    'a 202 without its event': (run) => {
      run.operations[3]!.promptId = 'p-9';
    },
    'a 202 without an id': (run) => {
      run.operations[3]!.promptId = null;
    },
    'a 503 that does not say when to come again': (run) => {
      run.operations[6]!.retryAfter = null;
    },
    'a cancel that was accepted, without its event': (run) => {
      event(run, ids.cancelled, 'PromptCancelled').type = 'PromptExpired';
    },
    'two cancels accepted, and one event': (run) => {
      run.operations.push({ ...of(run, 'cancel') });
    },
    'a redrive that was accepted, at a place that is another’s': (run) => {
      of(run, 'retry').position! += 1;
    },
    'a cancel that was refused, and done': (run) => {
      remove(run.operations, of(run, 'cancel'));
    },
    'an ask that was refused, and is in the log': (run) => {
      Object.assign(run.operations[3]!, { outcome: 'fail', status: 429, promptId: null });
    },
    'a 202 with the position of something else': (run) => {
      run.operations[3]!.position! += 1;
    },
    'a status that never was': (run) => {
      of(run, 'read').told = 'failed';
    },
    'a status that came only later': (run) => {
      of(run, 'read').completedAt = Date.parse(event(run, ids.plain, 'PromptCompleted').recordedAt) - 2;
    },
    'a 500 to a list': (run) => Object.assign(of(run, 'list'), { status: 500, code: 'internal' }),
    'a 500': (run) => Object.assign(run.operations[6]!, { status: 500, code: 'internal' }),
  },
  I16: {
    'a read of what was before': (run) => {
      Object.assign(of(run, 'read'), { position: 1, told: 'queued', minPosition: 3 });
    },
    'a read whose status is not of its position': (run) => {
      Object.assign(of(run, 'read'), { position: 2 });
    },
    'a list without what was just accepted': (run) => void of(run, 'list').rows.pop(),
    'a list of what was before': (run) => {
      Object.assign(of(run, 'list'), {
        minPosition: 3,
        rows: [{ promptId: ids.plain, position: 1, status: 'queued' }],
      });
    },
    'a list with a position that is none': (run) => {
      of(run, 'list').rows[0]!.position = 99;
    },
    'a timeline with a hole': (run) => void of(run, 'timeline').rows.splice(1, 1),
    'a timeline that ends too early': (run) => {
      of(run, 'timeline').minPosition = 3;
      of(run, 'timeline').rows.pop();
    },
    'statistics of before': (run) => {
      of(run, 'stats').minPosition = run.database.log.length;
      of(run, 'stats').position! -= 1;
    },
    'statistics of what is not there': (run) => {
      of(run, 'stats').position = 99;
    },
  },
};
