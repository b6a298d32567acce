import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { packState, timeOf, unpackState } from './packed-state.ts';
import { record, submitted } from './spec.ts';
import { type AttemptState, fold, type PromptState } from './state.ts';

const time = fc
  .date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true })
  .map((date) => date.toISOString());
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const nano = orNull(fc.nat(Number.MAX_SAFE_INTEGER));
const price = orNull(fc.constantFrom('genai-prices@1', 'mine@2', '0'));
const text = fc.string({ unit: 'grapheme' });
const usage = fc.record(
  {
    inputTokens: fc.nat(),
    cachedInputTokens: fc.nat(),
    outputTokens: fc.nat(),
    thoughtTokens: fc.nat(),
    totalTokens: fc.nat(),
  },
  { noNullPrototype: true },
);
const attempt: fc.Arbitrary<AttemptState> = fc.record(
  {
    attempt: fc.nat(),
    generation: fc.nat(),
    token: fc.uuid(),
    startedAt: time,
    endedAt: orNull(time),
    end: fc.constantFrom('open', 'answered', 'discarded', 'retry', 'failed', 'unknown', 'not_called', 'parked', 'lost'),
    usage: orNull(usage),
    emulated: fc.boolean(),
    nanoUsd: nano,
    boundNanoUsd: nano,
    priceVersion: price,
    ratedAnew: fc.constant(true as const),
  },
  {
    noNullPrototype: true,
    requiredKeys: [
      'attempt',
      'generation',
      'token',
      'startedAt',
      'endedAt',
      'end',
      'usage',
      'emulated',
      'nanoUsd',
      'boundNanoUsd',
      'priceVersion',
    ],
  },
);
const state: fc.Arbitrary<PromptState> = fc.record(
  {
    promptId: fc.uuid(),
    userId: text,
    model: text,
    lane: fc.constantFrom('interactive', 'normal', 'batch'),
    retry: fc.constantFrom('auto', 'cautious', 'never'),
    conversationId: orNull(fc.uuid()),
    notBefore: orNull(fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-01T00:00:00.000Z')),
    expiresAt: orNull(fc.constantFrom('2026-01-01T00:00:00+02:00', '2026-01-01T00:00:00.000Z')),
    metadata: fc.dictionary(text, text, { noNullPrototype: true }),
    boundNanoUsd: nano,
    priceVersion: price,
    submittedAt: time,
    startedAt: orNull(time),
    finishedAt: orNull(time),
    status: fc.constantFrom('queued', 'running', 'retrying', 'completed', 'failed', 'cancelled', 'expired'),
    generation: fc.nat(),
    attempts: fc.array(attempt, { maxLength: 4 }),
    finishReason: orNull(text),
    truncated: fc.boolean(),
    error: orNull(fc.record({ code: text, message: text }, { noNullPrototype: true })),
    version: fc.nat(),
    submittedPosition: fc.nat(),
    position: fc.nat(),
  },
  { noNullPrototype: true },
);

const stored = (one: PromptState) => ({
  prompt_id: one.promptId,
  user_id: one.userId,
  status: one.status,
  model: one.model,
  conversation_id: one.conversationId,
  submitted_at: one.submittedAt,
  submitted_position: one.submittedPosition,
  position: one.position,
  state: packState(one),
});

test('what is packed comes back as it was, and is packed the same again', () => {
  fc.assert(
    fc.property(state, (one) => {
      const back = unpackState(stored(one));
      assert.deepEqual(back, one);
      assert.equal(packState(back), packState(one));
    }),
  );
});

test('a conversation is spelt as its column spells it, whatever was sent', () => {
  const [event] = record([submitted({ conversationId: '0198ABCD-0000-7000-8000-00000000000F' })]);
  const one = fold([event!])!;
  assert.equal(one.conversationId, '0198abcd-0000-7000-8000-00000000000f');
  assert.deepEqual(unpackState(stored(one)), one);
});

test('times are written as toISOString writes them, whichever came before', () => {
  const near = fc.integer({ min: -70_000, max: 70_000 });
  const base = fc.constantFrom(
    0,
    Date.parse('2026-02-28T23:59:59.999Z'),
    Date.parse('1969-12-31T23:59:00Z'),
    -1e14,
    253402300799999,
  );
  fc.assert(
    fc.property(base, fc.array(near, { minLength: 1 }), (start, offsets) => {
      for (const offset of offsets) assert.equal(timeOf(start + offset), new Date(start + offset).toISOString());
    }),
  );
});
