import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { RecordedEvent } from '../envelope.ts';
import { contributionsOf, type Measures, measures } from './contribution.ts';
import { type Charge, isRefusal, settleAttempt, startAttempt } from './decide.ts';
import { createDeltas } from './deltas.ts';
import { record, submitted } from './spec.ts';
import { evolve, fold, type PromptState } from './state.ts';

const budget = { maxAttempts: 9, baseSeconds: 0, capSeconds: 0, callTimeoutSeconds: 1, random: 0 };
type Step = { end: 'completed' | 'retry' | 'lost' | 'late' | 'correction'; emulated: boolean; nanoUsd: number | null };
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    end: fc.constantFrom('completed', 'retry', 'retry', 'lost', 'late', 'correction'),
    emulated: fc.boolean(),
    nanoUsd: fc.option(fc.nat(9), { freq: 4 }),
  }),
  { maxLength: 8 },
);

/** What a worker of either kind tells; `lost` is told by nobody who knows whom it called. */
function history(steps: Step[]): RecordedEvent[] {
  const events = record([submitted({})]);
  const state = () => fold(events)!;
  const lost: { attempt: number; token: string }[] = [];
  const settle = (attempt: number, token: string, step: Step) => {
    const { emulated, nanoUsd } = step.end === 'lost' ? { emulated: false, nanoUsd: null } : step;
    const tokens = (nanoUsd ?? 0) * 10;
    const charge: Charge = {
      usage:
        nanoUsd === null
          ? null
          : { inputTokens: tokens, cachedInputTokens: 0, outputTokens: 1, thoughtTokens: 0, totalTokens: tokens + 1 },
      rawUsage: null,
      nanoUsd,
      boundNanoUsd: nanoUsd === null ? 100 : null,
      priceVersion: 'p',
      emulated,
    };
    const answer = {
      answer: '',
      encoding: 'plain',
      finishReason: 'STOP',
      truncated: false,
      modelVersion: null,
    } as const;
    const end = step.end === 'late' ? 'completed' : step.end;
    if (end === 'correction') return;
    const settled = settleAttempt(
      state(),
      end === 'completed'
        ? { attempt, token, charge, end, ...answer }
        : { attempt, token, charge, end, code: 'x', message: '' },
      budget,
    );
    if (!isRefusal(settled)) events.push(...record(settled.events, events.length));
  };
  for (const step of steps) {
    const { attempts, userId, model, submittedAt } = state();
    if (step.end === 'late') {
      const earlier = lost.pop();
      if (earlier) settle(earlier.attempt, earlier.token, step);
    } else if (step.end === 'correction') {
      const last = attempts.at(-1);
      if (!last || last.end === 'open' || step.nanoUsd === null) continue;
      const data = { userId, model, submittedAt, attempt: last.attempt, token: last.token, nanoUsd: step.nanoUsd };
      events.push(
        ...record([{ type: 'AttemptCostCorrected', data: { ...data, reason: 'bill', by: 'r' } }], events.length),
      );
    } else {
      const [token, attempt] = [`t${events.length}`, attempts.length + 1];
      const started = startAttempt(state(), { token, worker: 'w' });
      if (isRefusal(started)) continue;
      events.push(...record(started.events, events.length));
      if (step.end === 'lost') lost.push({ attempt, token });
      settle(attempt, token, step);
    }
  }
  return events;
}

const MONEY = ['confirmed_nano_usd', 'wasted_nano_usd', 'unknown_bound_nano_usd', 'unknown_attempts'] as const;
const sideOf = (state: PromptState, emulated: boolean): Partial<Measures> =>
  contributionsOf(state).find(({ key }) => key.emulated === emulated)?.sums ?? {};

describe('what a prompt adds to the sums', () => {
  test('is money on the side of who was called, attempt by attempt', () => {
    fc.assert(
      fc.property(steps, (steps) => {
        const state = fold(history(steps))!;
        for (const emulated of [false, true]) {
          const expected = {
            confirmed_nano_usd: 0,
            wasted_nano_usd: 0,
            unknown_bound_nano_usd: 0,
            unknown_attempts: 0,
            input_tokens: 0,
          };
          for (const one of state.attempts.filter(
            (attempt) => attempt.emulated === emulated && attempt.end !== 'open',
          )) {
            expected.input_tokens += one.usage?.inputTokens ?? 0;
            if (one.nanoUsd === null) {
              expected.unknown_bound_nano_usd += one.boundNanoUsd ?? 0;
              expected.unknown_attempts += 1;
            } else expected[one.end === 'answered' ? 'confirmed_nano_usd' : 'wasted_nano_usd'] += one.nanoUsd;
          }
          const side = sideOf(state, emulated);
          for (const name of [...MONEY, 'input_tokens'] as const) assert.equal(side[name] ?? 0, expected[name], name);
        }
      }),
    );
  });

  test('is one prompt, on one side', () => {
    fc.assert(
      fc.property(steps, (steps) => {
        const state = fold(history(steps))!;
        const counted = contributionsOf(state).map(({ sums }) => sums[state.status]);
        assert.equal(
          counted.reduce((sum, n) => sum + n, 0),
          1,
        );
      }),
    );
  });

  test('taken off and added event by event leaves what the whole adds, also where a prompt changes sides', () => {
    fc.assert(
      fc.property(steps, (steps) => {
        const events = history(steps);
        const byEvent = createDeltas();
        let state: PromptState | null = null;
        for (const event of events) {
          if (state) byEvent.add(contributionsOf(state), -1);
          state = evolve(state, event);
          byEvent.add(contributionsOf(state), 1);
        }
        const atOnce = createDeltas();
        atOnce.add(contributionsOf(fold(events)!), 1);
        assert.deepEqual(byEvent.usage(), atOnce.usage());
      }),
    );
  });

  test('names every row that it leaves without a prompt, or empty', () => {
    fc.assert(
      fc.property(steps, (steps) => {
        const events = history(steps);
        const rows = new Map<string, Record<string, number>>();
        let state: PromptState | null = null;
        for (const event of events) {
          const deltas = createDeltas();
          if (state) deltas.add(contributionsOf(state), -1);
          state = evolve(state, event);
          deltas.add(contributionsOf(state), 1);
          const emptied = new Set(deltas.emptied().map(({ emulated }) => String(emulated)));
          for (const row of deltas.usage()) {
            const before = rows.get(String(row.emulated)) ?? Object.fromEntries(measures.map((name) => [name, 0]));
            const after = Object.fromEntries(measures.map((name) => [name, before[name]! + row[name]]));
            rows.set(String(row.emulated), after);
            assert.ok(measures.every((name) => after[name]! >= 0));
            const prompts = (of: Record<string, number>) =>
              measures.slice(0, 7).reduce((sum, name) => sum + of[name]!, 0);
            const isEmpty = measures.every((name) => after[name] === 0);
            if (isEmpty || (prompts(before) > 0 && prompts(after) === 0)) assert.ok(emptied.has(String(row.emulated)));
          }
        }
      }),
    );
  });
});
