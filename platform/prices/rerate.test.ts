import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { PlacedEvent, RecordedEvent } from '../../contracts/envelope.ts';
import {
  type AttemptResult,
  type Charge,
  cancel,
  correctCost,
  type Decision,
  type Refusal,
  settleAttempt,
  startAttempt,
} from '../../contracts/prompt/decide.ts';
import { record, submission, submitted } from '../../contracts/prompt/spec.ts';
import { spendOf } from '../../contracts/prompt/spend.ts';
import { fold, type PromptState } from '../../contracts/prompt/state.ts';
import type { Usage } from '../../contracts/usage.ts';
import { createPriceBook, type PriceBook } from './price-book.ts';
import { readPriceList } from './price-list.ts';
import { evolveAt, type Rates, repricing, rerate } from './rerate.ts';

const budget = { maxAttempts: 9, baseSeconds: 0, capSeconds: 0, callTimeoutSeconds: 1, random: 0 };
const MODELS = ['gemini-2.5-flash', 'gemini-2.5-pro', 'gemini-2.5-flash-lite'];
const packaged = createPriceBook();

/** The package with these prices for these models. */
function bookOf(prices: object[], models = MODELS): PriceBook {
  const { models: listed, faults } = readPriceList({ models: models.map((model) => ({ model, prices })) });
  assert.deepEqual(faults, []);
  return createPriceBook({ version: 'test#1', models: listed });
}
/** Its prices change within the histories, which take a second for each event. */
const other = bookOf([
  { inputPerMillion: '0.7', outputPerMillion: '3.1' },
  { from: '2026-01-01T00:00:07Z', inputPerMillion: '7', cachedInputPerMillion: '0.3', outputPerMillion: '0' },
]);

const usages: fc.Arbitrary<Usage> = fc
  .tuple(fc.nat(300_000), fc.nat(100), fc.nat(60_000), fc.nat(5_000))
  .map(([inputTokens, percent, outputTokens, thoughtTokens]) => ({
    inputTokens,
    cachedInputTokens: Math.floor((inputTokens * percent) / 100),
    outputTokens,
    thoughtTokens,
    totalTokens: inputTokens + outputTokens + thoughtTokens,
  }));

type Ended = { end: 'completed' | 'retry' | 'failed' | 'lost' | 'not_called' | 'late' | 'cancel'; usage: Usage | null };
/** Somebody found the bill of one of the attempts. */
type Billed = { end: 'corrected'; which: number; nanoUsd: number };
type Step = Ended | Billed;
const step: fc.Arbitrary<Ended> = fc.record({
  end: fc.constantFrom('completed', 'retry', 'failed', 'lost', 'not_called', 'late', 'cancel'),
  usage: fc.option(usages, { freq: 5 }),
});
const steps = fc.array(step, { maxLength: 7 });
const correction: fc.Arbitrary<Billed> = fc.record({
  end: fc.constant('corrected' as const),
  which: fc.nat(6),
  nanoUsd: fc.nat(1_000_000),
});
const stepsAndBills = fc.array(fc.oneof(step, correction), { maxLength: 10 });

/** A prompt's events as the services write them, charged by `book`. */
function history(book: PriceBook, model: string, prompt: string, steps: Step[]): RecordedEvent[] {
  const at = new Date('2026-01-01T00:00:01Z');
  const costBound = book.upperBound({ model, inputBytes: Buffer.byteLength(prompt), at });
  const priceVersion = costBound === null ? null : book.version;
  const events = record([submitted({ ...submission, model, prompt, costBound, priceVersion })]);
  const put = (decision: Decision | Refusal) => {
    if (!('refused' in decision)) events.push(...record(decision.events, events.length));
  };
  const state = () => fold(events)!;
  const lost: { attempt: number; token: string }[] = [];
  const charge = (attempt: number, usage: Usage | null): Charge => {
    const startedAt = state().attempts.find((one) => one.attempt === attempt)!.startedAt;
    const price = usage && book.price(model, usage, new Date(startedAt));
    const unknown = { nanoUsd: null, boundNanoUsd: costBound, priceVersion };
    return { usage, rawUsage: null, emulated: false, ...(price ? { ...price, boundNanoUsd: null } : unknown) };
  };
  const settle = (attempt: number, token: string, end: AttemptResult['end'], cost: Charge) => {
    const base = { attempt, token, charge: cost };
    const answer = {
      answer: 'a',
      encoding: 'plain',
      finishReason: 'STOP',
      truncated: false,
      modelVersion: null,
    } as const;
    const result: AttemptResult =
      end === 'completed' ? { ...base, end, ...answer } : { ...base, end, code: 'test', message: '' };
    put(settleAttempt(state(), result, budget));
  };
  for (const one of steps) {
    if (one.end === 'corrected') {
      const { which, nanoUsd } = one;
      const attempt = 1 + (which % Math.max(1, state().attempts.length));
      put(correctCost(state(), { attempt, nanoUsd, reason: 'bill', by: 'root' }));
      continue;
    }
    const { end, usage } = one;
    if (end === 'late') {
      const earlier = lost.pop();
      if (earlier) settle(earlier.attempt, earlier.token, 'completed', charge(earlier.attempt, usage));
      continue;
    }
    const token = `t${events.length}`;
    const attempt = state().attempts.length + 1;
    const started = startAttempt(state(), { token, worker: 'w' });
    if ('refused' in started) continue;
    put(started);
    if (end === 'cancel') {
      put(cancel(state(), 'user:ada'));
      settle(attempt, token, 'retry', charge(attempt, usage));
    } else if (end === 'not_called') {
      const free = { nanoUsd: 0, boundNanoUsd: null, priceVersion: null, usage: null, rawUsage: null, emulated: false };
      settle(attempt, token, end, free);
    } else {
      if (end === 'lost') lost.push({ attempt, token });
      settle(attempt, token, end, charge(attempt, end === 'lost' ? null : usage));
    }
  }
  return events;
}

/** Events re-rated one after the other, each with the state that the re-rated ones before it tell. */
function rerated(events: PlacedEvent[], rates: Rates): PlacedEvent[] {
  let before: PromptState | null = null;
  return events.map((event) => {
    const next = rerate(event, before, rates);
    before = fold([next], before);
    return next;
  });
}

/** The states of a prompt that is read at other prices, the last one of them. */
const readAt = (events: PlacedEvent[], rates: Rates): PromptState =>
  events.reduce<PromptState | null>((before, event) => evolveAt(before, event, rates), null)!;
const withoutMarks = (state: PromptState): PromptState => ({
  ...state,
  attempts: state.attempts.map(({ ratedAnew: _, ...attempt }) => attempt),
});
const withoutBills = (events: PlacedEvent[]) => events.filter(({ type }) => type !== 'AttemptCostCorrected');

const histories = fc.tuple(fc.constantFrom(...MODELS), fc.string({ maxLength: 50 }), steps);

describe('re-rated events', () => {
  test('with the book that was charged are the events as they were charged', () => {
    fc.assert(
      fc.property(histories, fc.constantFrom(packaged, other), ([model, prompt, steps], book) => {
        const events = history(book, model, prompt, steps);
        assert.deepEqual(rerated(events, { book }), events);
      }),
    );
  });

  test('with another book are what that book would have charged', () => {
    fc.assert(
      fc.property(histories, ([model, prompt, steps]) => {
        const then = rerated(history(packaged, model, prompt, steps), { book: other });
        assert.deepEqual(then, history(other, model, prompt, steps));
      }),
    );
  });

  test('there and back are what they were: nothing but costs is changed, and no token is lost', () => {
    fc.assert(
      fc.property(histories, ([model, prompt, steps]) => {
        const events = history(packaged, model, prompt, steps);
        const there = rerated(events, { book: other });
        assert.deepEqual(rerated(there, { book: packaged }), events);
      }),
    );
  });

  test('at another model’s prices cost what that model’s prompts cost, and stay that model’s they were', () => {
    fc.assert(
      fc.property(histories, fc.constantFrom(...MODELS), ([model, prompt, steps], to) => {
        const then = fold(rerated(history(packaged, model, prompt, steps), { book: packaged, modelFor: () => to }))!;
        assert.equal(then.model, model);
        assert.deepEqual(spendOf(then), spendOf(fold(history(packaged, to, prompt, steps))!));
      }),
    );
  });

  test('are known, or unknown with a bound, never both', () => {
    fc.assert(
      fc.property(histories, ([model, prompt, steps]) => {
        const then = fold(rerated(history(packaged, model, prompt, steps), { book: other }))!;
        for (const { nanoUsd, boundNanoUsd, end } of then.attempts)
          if (end !== 'open') assert.ok((nanoUsd === null) === (boundNanoUsd !== null) && (nanoUsd ?? 0) >= 0);
      }),
    );
  });
});

describe('a prompt whose costs were put right', () => {
  const billed = fc.tuple(fc.constantFrom(...MODELS), fc.string({ maxLength: 50 }), stepsAndBills);

  test('is as it was charged with the book that was charged, corrections and all', () => {
    fc.assert(
      fc.property(billed, fc.constantFrom(packaged, other), ([model, prompt, steps], book) => {
        const events = history(book, model, prompt, steps);
        assert.deepEqual(readAt(events, { book }), fold(events));
      }),
    );
  });

  const elsewhere: [what: string, rates: (model: string) => Rates][] = [
    ['another book', () => ({ book: other })],
    ['another model’s prices', (model) => ({ book: packaged, modelFor: () => MODELS.find((one) => one !== model)! })],
  ];
  for (const [what, rates] of elsewhere)
    test(`is at ${what} as if no bill had come, but that nothing stays free that was billed`, () => {
      let bills = 0;
      fc.assert(
        fc.property(billed, ([model, prompt, steps]) => {
          const events = history(packaged, model, prompt, steps);
          const then = readAt(events, rates(model));
          const unbilled = fold(rerated(withoutBills(events), rates(model)))!;
          const corrected = new Set(events.flatMap((e) => (e.type === 'AttemptCostCorrected' ? e.data.attempt : [])));
          const { boundNanoUsd, priceVersion } = unbilled;
          const unknown = { nanoUsd: null, boundNanoUsd, priceVersion };
          const expected = unbilled.attempts.map((attempt) =>
            corrected.has(attempt.attempt) && attempt.usage === null ? { ...attempt, ...unknown } : attempt,
          );
          assert.deepEqual(withoutMarks(then).attempts, expected);
          assert.ok(then.attempts.every(({ ratedAnew }) => ratedAnew));
          assert.equal(then.version, events.length); // no event is passed over
          bills += events.length - withoutBills(events).length;
        }),
      );
      assert.ok(bills > 20);
    });

  const usage = { inputTokens: 10, cachedInputTokens: 0, outputTokens: 1, thoughtTokens: 0, totalTokens: 11 };
  const bill: Step = { end: 'corrected', which: 0, nanoUsd: 123 };
  const dear = bookOf([{ inputPerMillion: '1', outputPerMillion: '2' }]);
  const costAt = (steps: Step[], rates: Rates) => {
    const { nanoUsd, boundNanoUsd, priceVersion } = readAt(history(packaged, MODELS[0]!, 'why?', steps), rates)
      .attempts[0]!;
    return { nanoUsd, bounded: boundNanoUsd !== null, priceVersion };
  };

  test('with tokens on record costs what these cost there', () => {
    const steps: Step[] = [{ end: 'completed', usage }, bill];
    assert.deepEqual(costAt(steps, { book: dear }), { nanoUsd: 12_000, bounded: false, priceVersion: dear.version });
    assert.equal(costAt(steps, { book: packaged }).nanoUsd, 123);
  });

  test('without tokens stays unknown there, with its bound', () => {
    for (const end of ['lost', 'completed', 'not_called'] as const) {
      const steps: Step[] = [{ end, usage: null }, bill];
      const unknown = { nanoUsd: null, bounded: true, priceVersion: dear.version };
      assert.deepEqual(costAt(steps, { book: dear }), unknown);
      assert.equal(costAt(steps, { book: packaged }).nanoUsd, 123);
    }
  });

  test('keeps the bill of an attempt that these very prices were charged for, beside one of another book', () => {
    const first = history(packaged, MODELS[0]!, 'why?', [{ end: 'retry', usage }]);
    const [started, completed] = history(dear, MODELS[0]!, 'why?', [{ end: 'completed', usage }]).slice(1);
    const events = [...first];
    for (const { type, data } of [started!, completed!])
      events.push(...record([{ type, data: { ...data, attempt: 2, token: 'second' } } as never], events.length));
    for (const attempt of [1, 2]) {
      const decision = correctCost(fold(events)!, { attempt, nanoUsd: 100 * attempt, reason: 'bill', by: 'root' });
      assert.ok('events' in decision);
      events.push(...record(decision.events, events.length));
    }
    const costs = (book: PriceBook) => readAt(events, { book }).attempts.map(({ nanoUsd }) => nanoUsd);
    assert.deepEqual(costs(dear), [12_000, 200]);
    assert.deepEqual(costs(packaged), [100, fold(first)!.attempts[0]!.nanoUsd]);
  });
});

describe('an attempt', () => {
  const usage = { inputTokens: 10, cachedInputTokens: 0, outputTokens: 1, thoughtTokens: 0, totalTokens: 11 };
  const completed = (model: string, book: PriceBook) => history(book, model, 'why?', [{ end: 'completed', usage }]);
  const cost = (events: PlacedEvent[]) => {
    const { nanoUsd, boundNanoUsd, priceVersion } = fold(events)!.attempts[0]!;
    return { nanoUsd, boundNanoUsd, priceVersion };
  };

  test('of a model that the other book does not know is of unknown cost, without a bound', () => {
    const none = { version: 'none@1', price: () => null, upperBound: () => null };
    const then = rerated(completed('gemini-2.5-flash', packaged), { book: none });
    assert.deepEqual(cost(then), { nanoUsd: null, boundNanoUsd: null, priceVersion: null });
    assert.deepEqual(spendOf(fold(then)!), {
      confirmed: 0,
      wasted: 0,
      unknownBound: 0,
      unknown: 1,
      unbounded: 1,
      notional: false,
    });
  });

  test('of a model that had no price becomes known: its tokens are on record', () => {
    const then = rerated(completed('new-model', packaged), {
      book: bookOf([{ inputPerMillion: '1', outputPerMillion: '2' }], ['new-model']),
    });
    assert.equal(cost(completed('new-model', packaged)).nanoUsd, null);
    assert.equal(cost(then).nanoUsd, 12_000);
  });

  test('is rated at the price of its start', () => {
    // The start is on record at second 2; the price changes at second 3, when the answer comes.
    const book = bookOf([
      { to: '2026-01-01T00:00:03Z', inputPerMillion: '1', outputPerMillion: '1' },
      { from: '2026-01-01T00:00:03Z', inputPerMillion: '1000', outputPerMillion: '1000' },
    ]);
    assert.equal(cost(rerated(completed('gemini-2.5-flash', packaged), { book })).nanoUsd, 11_000);
  });
});

test('a repricing is how a rebuild reads a prompt, and the name of its version', () => {
  const { name, read } = repricing({ book: other });
  const [first] = history(packaged, 'gemini-2.5-pro', 'why?', []);
  assert.equal(name, `${packaged.version}+test#1`);
  assert.deepEqual(read(null, first!), fold([rerate(first!, null, { book: other })]));
  assert.equal(repricing({ book: other }, 'mine').name, 'mine');
});
