/** A run in which nothing happened must not pass for one that found nothing. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CALM_SECONDS, type Evidence, type Plan } from '../evidence.ts';
import { check } from './check.ts';
import { ledgerOf } from './good-ledger.ts';
import { goodRun } from './good-run.ts';
import { floorsOf, type Reachable, reached, reachedBy } from './reached.ts';

const minute = (mixes: string[] = []): Plan => ({
  kind: 'chaos',
  minutes: 1,
  perSecond: 50,
  calmSeconds: CALM_SECONDS,
  mixes,
});
const named = (run: Evidence): string[] => reached(run).map((line) => line.split(':')[0]!);

/** The same evidence, of a run in which nobody was there. */
function voidRun(plan: Plan): Evidence {
  const run = goodRun();
  const nothing = { log: [], prompts: [], totals: [], cursor: 0, ledger: ledgerOf([]) };
  const database = { ...run.database, ...nothing };
  return { ...run, plan, operations: [], calls: [], feed: [], faults: [], impairments: [], database };
}

test('a run that came by what it was to test has reached all of it', () => {
  assert.deepEqual(reached(goodRun()), []);
});

test('a void run breaks nothing, and reaches nothing', () => {
  const run = voidRun(minute());
  assert.deepEqual(check(run), []);
  assert.deepEqual(named(run), [
    'accepted',
    'completed',
    'faults',
    'reads',
    'leases lost after a call',
    'replies of Postgres lost',
    'resyncs of the relay',
    'answers spooled',
  ]);
  assert.match(reached(run)[0]!, /^accepted: 0, at least 1500 were due$/);
});

test('half as many faults are due to have half the effect', () => {
  const late = (calmSeconds: number) =>
    floorsOf({ plan: { kind: 'chaos', minutes: 30, perSecond: 50, calmSeconds, mixes: [] } })['late answers adopted'];
  assert.deepEqual([late(CALM_SECONDS), late(12)], [15, 7]);
});

test('what is due depends on the mix and the time', () => {
  const due = (plan: Plan) => {
    const { accepted: _, completed: __, faults: ___, reads: ____, ...floors } = floorsOf({ plan });
    return Object.entries(floors).flatMap(([name, floor]) => (floor > 0 ? [name] : []));
  };
  assert.deepEqual(due(minute(['provider'])), []);
  assert.deepEqual(due(minute(['postgres'])), ['replies of Postgres lost', 'answers spooled']);
  assert.deepEqual(due(minute(['redis'])), ['resyncs of the relay']);
  assert.ok(
    due({ kind: 'chaos', minutes: 2, perSecond: 20, calmSeconds: CALM_SECONDS, mixes: [] }).includes(
      'late answers adopted',
    ),
  );
  assert.deepEqual(due({ kind: 'matrix', cases: 3 }), []);
  assert.deepEqual(due({ kind: 'matrix', cases: 150 }).length, 5);
});

describe('a run has not reached', () => {
  const lacking: Partial<Record<Reachable, (run: Evidence) => void>> = {
    accepted: (run) => {
      run.operations = run.operations.filter(({ kind }) => kind !== 'ask');
    },
    completed: (run) => {
      for (const event of run.database.log) if (event.type === 'PromptCompleted') event.type = 'PromptExpired';
    },
    faults: (run) => {
      run.faults = [];
    },
    reads: (run) => {
      for (const one of run.operations) one.minPosition = null;
    },
    'leases lost after a call': (run) => {
      run.calls = [];
    },
    'late answers adopted': () => {},
    'replies of Postgres lost': (run) => {
      run.seen.repliesLost = 0;
    },
    'resyncs of the relay': (run) => {
      run.seen.resyncs = 0;
    },
    'answers spooled': (run) => {
      run.seen.spooled = 0;
    },
  };
  for (const [what, spoil] of Object.entries(lacking)) {
    test(`${what}, and is told so`, () => {
      const run = goodRun();
      run.seen = { repliesLost: 9, resyncs: 9, spooled: 9 };
      // As much as is due of what does not depend on the rate.
      run.plan = { kind: 'chaos', minutes: 2, perSecond: 0.35, calmSeconds: CALM_SECONDS, mixes: [] };
      spoil(run);
      assert.ok(named(run).includes(what), `named: ${named(run)}`);
    });
  }

  test('what a call that nobody lost did not cost', () => {
    assert.deepEqual(reachedBy(goodRun())['leases lost after a call'], 1);
  });
});
