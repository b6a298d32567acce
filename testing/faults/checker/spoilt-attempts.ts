/** I4 to I7, broken in several ways: attempts, their calls and their costs. */
import { ids } from './good-run.ts';
import { answered, append, event, later, remove, type Spoil } from './spoil.ts';

export const spoiltAttempts = {
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
    'a call before its attempt was committed': (run) => {
      event(run, ids.plain, 'AttemptStarted').committedAt = run.calls[0]!.at + 1;
    },
    'a call of an attempt whose commit is not told': (run) => {
      event(run, ids.plain, 'AttemptStarted').committedAt = null;
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
    'a lease that was not over': (run) => later(run, ids.lost, 'AttemptStarted', 60),
    'a cautious prompt given up before its call was over': (run) => {
      event(run, ids.lost, 'PromptSubmitted').data.retry = 'cautious';
    },
    'a prompt never to be asked again, given up before its call was over': (run) => {
      event(run, ids.lost, 'PromptSubmitted').data.retry = 'never';
    },
    'a prompt that ended while nobody wanted it, given up before its call was over': (run) => {
      event(run, ids.cancelled, 'PromptSubmitted').data.retry = 'cautious';
      event(run, ids.cancelled, 'AttemptDiscarded').data.code = 'lease_lost';
      run.limits.callTimeoutMs = 200;
    },
    'a prompt that expired before its time': (run) => {
      const { recordedAt } = event(run, ids.expired, 'PromptExpired');
      event(run, ids.expired, 'PromptSubmitted').data.expiresAt = new Date(Date.parse(recordedAt) + 10).toISOString();
    },
    'a prompt that expired, and had no end': (run) => {
      event(run, ids.expired, 'PromptSubmitted').data.expiresAt = null;
    },
    'an attempt before its time': (run) => {
      event(run, ids.plain, 'PromptSubmitted').data.notBefore = event(run, ids.plain, 'PromptCompleted').recordedAt;
    },
    'an attempt after its prompt’s end': (run) => {
      const { data, recordedAt } = event(run, ids.plain, 'PromptSubmitted');
      data.expiresAt = recordedAt;
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
} satisfies Record<string, Record<string, Spoil>>;
