/** A judge that never condemns proves nothing: every invariant is broken here, in several ways, and must be named. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Evidence, LoggedEvent } from '../evidence.ts';
import { check, type InvariantId, invariants, witness } from './check.ts';
import { goodRun, ids } from './good-run.ts';

type Spoil = (run: Evidence) => void;
const event = (run: Evidence, id: string, type: string, nth = 1): LoggedEvent =>
  run.database.log.filter((one) => one.streamId === id && one.type === type)[nth - 1]!;
const remove = <T>(list: T[], item: T | undefined) => void list.splice(list.indexOf(item as T), 1);
/** Appends to the log as a rogue writer would, everything else in order. */
function append(run: Evidence, streamId: string, type: string, data: Partial<LoggedEvent['data']> = {}): void {
  const { log } = run.database;
  const own = log.filter((one) => one.streamId === streamId);
  const position = log.length + 1;
  const { userId, model } = own[0]!.data;
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
const answered = { attempt: 1, nanoUsd: 10, boundNanoUsd: null };
const frames = (run: Evidence, user: string) => run.feed.find((one) => one.user === user)!.frames;

const spoilt: Record<InvariantId, Record<string, Spoil>> = {
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
    'a lease lost without a fault': (run) => {
      run.faults = [];
    },
    'a lease lost, and the fault hit somebody else': (run) => {
      run.faults[0]!.hits = ['redis'];
    },
    'a lease lost long after the fault': (run) => {
      run.faults[0]!.at -= 3_600_000;
      run.faults[0]!.until -= 3_600_000;
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
      run.redis.tasksLength = 11;
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
    'a 500': (run) => Object.assign(run.operations[6]!, { status: 500, code: 'internal' }),
  },
};

test('a run in which nothing is wrong is acquitted', () => {
  assert.deepEqual(check(goodRun()), []);
});

for (const [id, spoils] of Object.entries(spoilt)) {
  describe(`${id}, ${invariants[id as InvariantId].title.toLowerCase()}, is broken by`, () => {
    for (const [what, spoil] of Object.entries(spoils)) {
      test(what, () => {
        const run = goodRun();
        spoil(run);
        const named = check(run).map(({ invariant }) => invariant);
        assert.ok(named.includes(id), `named: ${named}`);
      });
    }
  });
}

describe('what is allowed', () => {
  const allowed: Record<string, Spoil> = {
    'an ask of which nobody knows may be in the log': (run) => {
      run.operations[3]!.outcome = 'unknown';
      Object.assign(run.operations[3]!, { status: null, promptId: null });
    },
    'a resync passes over what it skips': (run) => {
      const sent = frames(run, 'ada');
      const from = sent.findIndex(({ type }) => type === 'event');
      sent.splice(from, sent.length - from, {
        type: 'resync',
        position: run.database.log.length,
        promptId: null,
        status: null,
        canariesOf: [],
      });
    },
    'an admin sees everybody’s words': (run) => frames(run, 'root')[1]!.canariesOf.push('ken', 'ada'),
    'an unknown cost may become known': () => {},
  };
  for (const [what, change] of Object.entries(allowed)) {
    test(what, () => {
      const run = goodRun();
      change(run);
      assert.deepEqual(check(run), []);
    });
  }
});

test('a witness tells one prompt’s way, in the order of time', () => {
  const lines = witness(goodRun(), ids.lost).split('\n');
  assert.equal(lines.length, 10);
  assert.match(lines.join('\n'), /ken: ask → 202.*log \d+: AttemptStarted.*provider: attempt 1 → 200.*AttemptFailed/s);
  const times = lines.map((line) => line.trim().slice(0, 24));
  assert.deepEqual([...times].sort(), times);
});
