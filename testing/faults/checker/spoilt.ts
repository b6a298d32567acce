/** Every invariant broken in several ways: what the judge must condemn, and by which name. */
import type { InvariantId } from './check.ts';
import { ids } from './good-run.ts';
import { answered, append, copyOf, event, frames, of, remove, type Spoil } from './spoil.ts';
import { spoiltAttempts } from './spoilt-attempts.ts';

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
  ...spoiltAttempts,
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
    'a commit before that of its forerunner': (run) => {
      event(run, ids.retried, 'AttemptStarted').committedAt! -= 300;
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
    'nothing measured': (run) => {
      run.samples = [];
    },
    memory: (run) => {
      run.samples[0]!.rssBytes = 1_001;
    },
    files: (run) => {
      run.samples[0]!.openFiles = 101;
    },
    connections: (run) => {
      run.postgresConnections.most = 51;
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
    'a 202 before its commit': (run) => {
      run.operations[3]!.completedAt = event(run, ids.retried, 'PromptSubmitted').committedAt! - 1;
    },
    'a cancel that was accepted before its commit': (run) => {
      event(run, ids.cancelled, 'PromptCancelled').committedAt = of(run, 'cancel').completedAt + 1;
    },
    'a 503 that came too late': (run) => {
      run.operations[6]!.completedAt += 2_600;
    },
    'a 503 that came too late, and another process stood still': (run) => {
      const { invokedAt, api } = run.operations[6]!;
      run.operations[6]!.completedAt += 2_600;
      const other = { at: invokedAt, until: invokedAt + 2_600, pid: 43, what: 'stalled' } as const;
      run.impairments.push({ ...other, instance: `${api}0` }, { ...other, instance: api, what: 'late' });
    },
    'a 202 that came too late': (run) => {
      run.operations[3]!.invokedAt -= 2_600;
    },
    'an ask that nobody ended for long': (run) => {
      run.operations[5]!.completedAt += 8_000;
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
