import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { RecordedEvent } from '../envelope.ts';
import { isClosed } from './closed.ts';
import {
  type AttemptResult,
  cancel,
  type Decision,
  expire,
  isRefusal,
  type Refusal,
  requeue,
  settleAttempt,
  startAttempt,
} from './decide.ts';
import { type RetryPolicy, terminalTypes } from './events.ts';
import { given, record, submitted } from './spec.ts';
import { evolve, fold, isTerminal, openAttempt, type PromptState } from './state.ts';

/**
 * Histories are made the way the system makes them: commands in any order, decided on the present state, with zombies
 * that settle attempts long given up. `size: 'max'`: by default fast-check would make histories of five commands.
 */
type Command =
  | { do: 'start' }
  | {
      do: 'settle';
      which: number;
      end: 'completed' | 'retry' | 'failed' | 'unknown' | 'lost' | 'not_called' | 'parked';
      nanoUsd: number | null;
    }
  | { do: 'cancel' | 'expire' | 'requeue' };

const commands = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.constant<Command>({ do: 'start' }) },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('settle' as const),
        which: fc.nat(5),
        end: fc.constantFrom('completed', 'retry', 'failed', 'unknown', 'lost', 'not_called', 'parked'),
        nanoUsd: fc.option(fc.nat(1_000_000), { nil: null }),
      }) as fc.Arbitrary<Command>,
    },
    { weight: 1, arbitrary: fc.constantFrom<Command>({ do: 'cancel' }, { do: 'expire' }, { do: 'requeue' }) },
  ),
  { minLength: 5, maxLength: 60, size: 'max' },
);
const policies = fc.constantFrom<RetryPolicy>('auto', 'cautious', 'never');

const tokenOf = (attempt: number) => `01900000-0000-7000-8000-${String(attempt).padStart(12, '0')}`;

function decide(state: PromptState, command: Command): Decision | Refusal {
  switch (command.do) {
    case 'start':
      return startAttempt(state, { token: tokenOf(state.attempts.length + 1), worker: 'w' });
    case 'cancel':
      return cancel(state, 'user:ada');
    case 'expire':
      return expire(state);
    case 'requeue':
      return requeue(state, 'user:ada', null, '2026-06-01T00:00:00Z');
    case 'settle': {
      const attempt = state.attempts.length - (command.which % Math.max(1, state.attempts.length));
      const { nanoUsd } = command;
      const charge = {
        usage: null,
        rawUsage: null,
        nanoUsd,
        boundNanoUsd: nanoUsd === null ? 9 : null,
        priceVersion: null,
        emulated: false,
      };
      const base = { attempt, token: tokenOf(attempt), charge };
      const result: AttemptResult =
        command.end === 'completed'
          ? {
              ...base,
              end: 'completed',
              answer: 'a',
              encoding: 'plain',
              finishReason: 'STOP',
              truncated: false,
              modelVersion: null,
            }
          : { ...base, end: command.end, code: 'c', message: 'm' };
      return settleAttempt(state, result, {
        maxAttempts: 3,
        baseSeconds: 1,
        capSeconds: 30,
        callTimeoutSeconds: 300,
        random: 0.5,
      });
    }
  }
}

type Step = { before: PromptState; decision: Decision; after: PromptState };
type History = { events: RecordedEvent[]; state: PromptState; keys: string[]; steps: Step[] };

function play(retry: RetryPolicy, script: Command[]): History {
  let state = given(submitted({ retry }));
  const history: History = { events: record([submitted({ retry })]), state, keys: [], steps: [] };
  for (const command of script) {
    const decision = decide(state, command);
    if (isRefusal(decision)) continue;
    const events = record(decision.events, state.version);
    const after = fold(events, state)!;
    history.steps.push({ before: state, decision, after });
    history.events.push(...events);
    history.keys.push(...decision.events.map((event) => event.key));
    state = after;
  }
  return { ...history, state };
}

const property = (check: (history: History) => void) =>
  fc.assert(
    fc.property(policies, commands, (retry, script) => check(play(retry, script))),
    { numRuns: 2_000 },
  );

test('histories are long enough to mean something', () => {
  const lengths = fc.sample(commands, 500).map((script) => script.length);
  assert.ok(lengths.reduce((sum, n) => sum + n, 0) / lengths.length > 15);
});

test('each generation has at most one terminal event, and event keys are never used twice', () => {
  property(({ events, keys, state }) => {
    const terminal = events.filter((event) => terminalTypes.has(event.type)).length;
    assert.ok(terminal <= state.generation + 1, `${terminal} terminal events in generation ${state.generation}`);
    assert.equal(new Set(keys).size, keys.length);
  });
});

test('at most one attempt is open, and attempt numbers are 1, 2, 3 …', () => {
  property(({ state, steps }) => {
    for (const { after } of steps) assert.ok(after.attempts.filter((attempt) => attempt.end === 'open').length <= 1);
    assert.deepEqual(
      state.attempts.map((one) => one.attempt),
      state.attempts.map((_, i) => i + 1),
    );
  });
});

test('never: at most one call in a generation', () => {
  property(({ state }) => {
    if (state.retry !== 'never') return;
    for (let generation = 0; generation <= state.generation; generation += 1) {
      const called = state.attempts.filter((one) => one.generation === generation && one.end !== 'not_called');
      assert.ok(called.length <= 1, `${called.length} calls in generation ${generation}`);
    }
  });
});

test('a known cost is kept for ever, whatever is said later', () => {
  property(({ steps }) => {
    for (const { before, after } of steps) {
      for (const attempt of before.attempts) {
        if (attempt.end === 'open' || attempt.nanoUsd === null) continue;
        assert.equal(after.attempts[attempt.attempt - 1]?.nanoUsd, attempt.nanoUsd);
      }
    }
  });
});

test('the outbox row lives exactly as long as the prompt is open or an attempt is unaccounted for', () => {
  property(({ steps }) => {
    for (const { before, decision, after } of steps) {
      const needsRow = (state: PromptState) => !isTerminal(state.status) || openAttempt(state) !== undefined;
      const op = decision.outbox?.op;
      if (op === 'drop') assert.ok(!needsRow(after));
      else if (op === 'reopen') assert.ok(!needsRow(before) && needsRow(after));
      else assert.equal(needsRow(after), needsRow(before), JSON.stringify(decision));
    }
  });
});

test('to a closed stream nothing is ever added, whatever is decided', () => {
  const ends = ['completed', 'retry', 'failed', 'unknown', 'lost', 'not_called', 'parked'] as const;
  const settlings = [0, 1, 2, 3, 4, 5].flatMap((which) =>
    ends.flatMap((end) => [null, 7].map((nanoUsd): Command => ({ do: 'settle', which, end, nanoUsd }))),
  );
  const every: Command[] = [{ do: 'start' }, { do: 'cancel' }, { do: 'expire' }, { do: 'requeue' }, ...settlings];
  const seen = new Set<string>();
  property(({ steps }) => {
    for (const { before, after } of steps) {
      assert.ok(!isClosed(before, '2026-06-01T00:00:00Z'), 'it was closed, and something was added');
      if (!isClosed(after, '2026-06-01T00:00:00Z')) continue;
      seen.add(after.status);
      for (const command of every) assert.ok(isRefusal(decide(after, command)), JSON.stringify(command));
    }
  });
  assert.deepEqual([...seen].sort(), ['cancelled', 'completed', 'expired']);
});

test('a failed prompt is closed once it has expired, before that it may be sent again', () => {
  const failed: PromptState = { ...given(submitted({ expiresAt: '2026-05-01T00:00:00Z' })), status: 'failed' };
  assert.deepEqual(
    ['2026-04-30T23:59:59.999Z', '2026-05-01T00:00:00Z'].map((now) => isClosed(failed, now)),
    [false, true],
  );
  assert.ok(!isClosed({ ...failed, expiresAt: null }, '2126-01-01T00:00:00Z'));
  assert.deepEqual(requeue(failed, 'user:ada', null, '2026-05-01T00:00:00Z'), { refused: 'expired' });
});

test('folding in pieces gives what folding at once gives', () => {
  fc.assert(
    fc.property(policies, commands, fc.nat(), (retry, script, cut) => {
      const { events, state } = play(retry, script);
      const at = cut % events.length;
      assert.deepEqual(fold(events.slice(at), fold(events.slice(0, at))), state);
    }),
    { numRuns: 500 },
  );
});

test('a stream that does not begin with a submission is damage, not a prompt', () => {
  const [event] = record([
    { type: 'PromptExpired', data: { userId: 'a', model: 'm', submittedAt: '2026-01-01T00:00:00Z' } },
  ]);
  assert.throws(() => evolve(null, event!), /before PromptSubmitted/);
});
