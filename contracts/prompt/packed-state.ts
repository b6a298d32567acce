/**
 * A prompt's state as a read model keeps it: what has no column of its own, in one line of JSON without names. Times are
 * milliseconds after the submission. SQL that looks into it: command-api/sql/failed-prompts.sql.
 */
import type { Usage } from '../usage.ts';
import type { AttemptEnd, Lane, RetryPolicy } from './events.ts';
import type { AttemptState, PromptState, PromptStatus } from './state.ts';

/** Columns of `prompt_v…` that together are a `PromptState`; `state` is what `packState` made. */
export type StateRow = {
  prompt_id: string;
  user_id: string;
  status: PromptStatus;
  model: string;
  conversation_id: string | null;
  submitted_at: string;
  submitted_position: number;
  position: number;
  state: string;
};

type Milliseconds = number;
type Flag = 0 | 1;
/** 0: that of the prompt. */
type PriceVersion = string | null | 0;
type PackedUsage = [input: number, cachedInput: number, output: number, thought: number, total: number];
type PackedAttempt = [
  attempt: number,
  generation: number,
  token: string,
  startedAt: Milliseconds,
  endedAt: Milliseconds | null,
  end: 'open' | 'answered' | 'discarded' | AttemptEnd,
  usage: PackedUsage | null,
  emulated: Flag,
  nanoUsd: number | null,
  boundNanoUsd: number | null,
  priceVersion: PriceVersion,
  ratedAnew?: 1,
];
type Packed = [
  version: number,
  lane: Lane,
  retry: RetryPolicy,
  generation: number,
  notBefore: string | null,
  expiresAt: string | null,
  metadata: Record<string, string>,
  boundNanoUsd: number | null,
  priceVersion: string | null,
  startedAt: Milliseconds | null,
  finishedAt: Milliseconds | null,
  finishReason: string | null,
  truncated: Flag,
  error: [code: string, message: string] | null,
  attempts: PackedAttempt[],
];

const flag = (is: boolean): Flag => (is ? 1 : 0);

export function packState(state: PromptState): string {
  const submitted = Date.parse(state.submittedAt);
  const after = (time: string | null) => (time === null ? null : Date.parse(time) - submitted);
  const packed: Packed = [
    state.version,
    state.lane,
    state.retry,
    state.generation,
    state.notBefore,
    state.expiresAt,
    state.metadata,
    state.boundNanoUsd,
    state.priceVersion,
    after(state.startedAt),
    after(state.finishedAt),
    state.finishReason,
    flag(state.truncated),
    state.error && [state.error.code, state.error.message],
    state.attempts.map((one) => packAttempt(one, submitted, state.priceVersion)),
  ];
  return JSON.stringify(packed);
}

function packAttempt(one: AttemptState, submitted: number, priceVersion: string | null): PackedAttempt {
  const { usage } = one;
  const packed: PackedAttempt = [
    one.attempt,
    one.generation,
    one.token,
    Date.parse(one.startedAt) - submitted,
    one.endedAt === null ? null : Date.parse(one.endedAt) - submitted,
    one.end,
    usage && [usage.inputTokens, usage.cachedInputTokens, usage.outputTokens, usage.thoughtTokens, usage.totalTokens],
    flag(one.emulated),
    one.nanoUsd,
    one.boundNanoUsd,
    one.priceVersion === priceVersion ? 0 : one.priceVersion,
  ];
  if (one.ratedAnew) packed.push(1);
  return packed;
}

export function unpackState(row: StateRow): PromptState {
  const submitted = Date.parse(row.submitted_at);
  const [
    version,
    lane,
    retry,
    generation,
    notBefore,
    expiresAt,
    metadata,
    boundNanoUsd,
    priceVersion,
    startedAt,
    finishedAt,
    finishReason,
    truncated,
    error,
    attempts,
  ] = JSON.parse(row.state) as Packed;
  return {
    promptId: row.prompt_id,
    userId: row.user_id,
    model: row.model,
    lane,
    retry,
    conversationId: row.conversation_id,
    notBefore,
    expiresAt,
    metadata,
    boundNanoUsd,
    priceVersion,
    submittedAt: row.submitted_at,
    startedAt: startedAt === null ? null : timeOf(submitted + startedAt),
    finishedAt: finishedAt === null ? null : timeOf(submitted + finishedAt),
    status: row.status,
    generation,
    attempts: attempts.map((one) => unpackAttempt(one, submitted, priceVersion)),
    finishReason,
    truncated: truncated === 1,
    error: error && { code: error[0], message: error[1] },
    version,
    submittedPosition: row.submitted_position,
    position: row.position,
  };
}

function unpackAttempt(packed: PackedAttempt, submitted: number, ofPrompt: string | null): AttemptState {
  const [attempt, generation, token, startedAt, endedAt, end, usage, emulated, nanoUsd, boundNanoUsd, priceVersion] =
    packed;
  return {
    attempt,
    generation,
    token,
    startedAt: timeOf(submitted + startedAt),
    endedAt: endedAt === null ? null : timeOf(submitted + endedAt),
    end,
    usage: usage && unpackUsage(usage),
    emulated: emulated === 1,
    nanoUsd,
    boundNanoUsd,
    priceVersion: priceVersion === 0 ? ofPrompt : priceVersion,
    ...(packed[11] === 1 && { ratedAnew: true as const }),
  };
}

const unpackUsage = ([input, cachedInput, output, thought, total]: PackedUsage): Usage => ({
  inputTokens: input,
  cachedInputTokens: cachedInput,
  outputTokens: output,
  thoughtTokens: thought,
  totalTokens: total,
});

/** As `toISOString` writes it, of which most is the same as the time before: thousands of states are unpacked for a look back. */
export function timeOf(ms: number): string {
  const past = ((ms % MINUTE_MS) + MINUTE_MS) % MINUTE_MS;
  if (ms - past !== lastMinute.ms) {
    lastMinute = { ms: ms - past, text: new Date(ms - past).toISOString().slice(0, -'00.000Z'.length) };
  }
  const text = String(100_000 + past);
  return `${lastMinute.text}${text.slice(1, 3)}.${text.slice(3)}Z`;
}
const MINUTE_MS = 60_000;
let lastMinute = { ms: 0, text: '1970-01-01T00:00:' };
