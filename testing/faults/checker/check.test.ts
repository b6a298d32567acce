/** A judge that never condemns proves nothing: every invariant is broken here, in several ways, and must be named. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { check, type InvariantId, invariants, witness } from './check.ts';
import { ledgerOf } from './good-ledger.ts';
import { goodRun, ids } from './good-run.ts';
import { event, frames, of, type Spoil } from './spoil.ts';
import { spoilt } from './spoilt.ts';
import { spoiltLedgers } from './spoilt-ledger.ts';

test('a run in which nothing is wrong is acquitted', () => {
  assert.deepEqual(check(goodRun()), []);
});

for (const [id, spoils] of Object.entries(spoilt)) {
  describe(`${id}, ${invariants[id as InvariantId].title.toLowerCase()}, is broken by`, () => {
    for (const [what, spoil] of Object.entries(spoils)) {
      test(what, () => {
        const run = goodRun();
        spoil(run);
        run.database.ledger = ledgerOf(run.database.log); // so that it is not the ledger which gives it away
        const named = check(run).map(({ invariant }) => invariant);
        assert.ok(named.includes(id), `named: ${named}`);
      });
    }
  });
}

describe('I6, cost once, is broken in the ledger by', () => {
  for (const [what, spoil] of Object.entries(spoiltLedgers)) {
    test(what, () => {
      const run = goodRun();
      spoil(run);
      assert.deepEqual([...new Set(check(run).map(({ invariant }) => invariant))], ['I6']);
    });
  }
});

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
    'a lease lost within a lease of Postgres’ return': (run) => {
      const until = Date.parse(event(run, ids.lost, 'AttemptFailed').recordedAt) - run.limits.leaseMs;
      Object.assign(run.impairments[0]!, { at: until - 100, until, instance: 'postgres', pid: null, what: 'away' });
    },
    'a lease lost by a worker that stood still for long': (run) => {
      const { at } = run.impairments[0]!;
      const stalled = { instance: 'worker-1', pid: 41, what: 'stalled' } as const;
      run.impairments = [
        { ...stalled, at, until: at + 10 },
        { ...stalled, at: at + 15, until: at + 25 },
      ];
    },
    'a connection to the provider that was cut': (run) => {
      const failed = event(run, ids.retried, 'AttemptFailed');
      Object.assign(run.calls[1]!, { status: 200 });
      Object.assign(failed.data, { end: 'unknown', code: 'connection_lost' });
      const at = Date.parse(failed.recordedAt) - 10;
      run.impairments.push({ at, until: at, instance: 'provider', pid: null, what: 'cut off' });
    },
    'a call that a worker without descriptors could not make': (run) => {
      const [call] = run.calls.splice(1, 1);
      const failed = event(run, ids.retried, 'AttemptFailed');
      Object.assign(failed.data, { end: 'retry', code: 'provider_unreachable' });
      run.impairments.push({ at: call!.at, until: call!.at, instance: 'worker-2', pid: 42, what: 'starved' });
    },
    'a call that the worker itself cut before it was made': (run) => {
      run.calls.splice(1, 1);
      Object.assign(event(run, ids.retried, 'AttemptFailed').data, { end: 'unknown', code: 'shutdown' });
    },
    'a claim that came too late for its call': (run) => {
      run.calls.splice(1, 1);
      Object.assign(event(run, ids.retried, 'AttemptFailed').data, { end: 'not_called', code: 'not_called' });
    },
    'a call that the worker itself cut': (run) => {
      Object.assign(run.calls[1]!, { status: 200 });
      Object.assign(event(run, ids.retried, 'AttemptFailed').data, { end: 'unknown', code: 'deadline' });
    },
    'a lease lost by a worker that was cut off': (run) => {
      Object.assign(run.impairments[0]!, { instance: 'worker-1', pid: null, what: 'cut off' });
    },
    'an answer that does not tell what it used': (run) => {
      run.calls[0]!.fault = 'no-usage';
      Object.assign(event(run, ids.plain, 'PromptCompleted').data, { nanoUsd: null, boundNanoUsd: 100 });
      Object.assign(run.database.totals[0]!, { confirmed: 10, unknownBound: 100 });
    },
    'a call in the millisecond of its attempt’s commit': (run) => {
      event(run, ids.plain, 'AttemptStarted').committedAt = run.calls[0]!.at + 0.999;
    },
    'a 503 that is late since its process was stopped and whoever asked stood still': (run) => {
      const { invokedAt, api } = run.operations[6]!;
      run.operations[6]!.completedAt += 4_000;
      run.impairments.push(
        { at: invokedAt - 100, until: invokedAt + 1_000, instance: api, pid: 43, what: 'stopped' },
        { at: invokedAt + 900, until: invokedAt + 1_500, instance: 'harness', pid: 1, what: 'stalled' },
      );
    },
    'a late 503 to a read': (run) => {
      Object.assign(of(run, 'stats'), {
        invokedAt: 0,
        status: 503,
        outcome: 'unknown',
        retryAfter: '1',
        position: null,
      });
    },
    'no ledger in virtual time': (run) => {
      run.plan = { kind: 'simulation' };
      run.database.ledger = null;
    },
    'a read of what is newer than was asked for': (run) => {
      of(run, 'read').minPosition = 1;
    },
    'an admin sees everybody’s words': (run) => frames(run, 'root')[1]!.canariesOf.push('ken', 'ada'),
    'an unknown cost may become known': () => {},
  };
  for (const [what, change] of Object.entries(allowed)) {
    test(what, () => {
      const run = goodRun();
      change(run);
      if (run.database.ledger) run.database.ledger = ledgerOf(run.database.log);
      assert.deepEqual(check(run), []);
    });
  }
});

test('a witness tells one prompt’s way, in the order of time', () => {
  const lines = witness(goodRun(), ids.lost).split('\n');
  assert.equal(lines.length, 11);
  assert.match(lines.join('\n'), /ken: ask → 202.*log \d+: AttemptStarted.*provider: attempt 1 → 200.*AttemptFailed/s);
  const times = lines.map((line) => line.trim().slice(0, 24));
  assert.deepEqual([...times].sort(), times);
});
