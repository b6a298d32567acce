/** How one call behaves: by default, by the control API, or by a directive in the prompt. */
import { type Fault, isFault } from './faults.ts';

export type Behaviour = {
  /** Milliseconds before the first byte. */
  delayMs?: number;
  text?: string;
  inputTokens?: number;
  cachedTokens?: number;
  outputTokens?: number;
  thoughtTokens?: number;
  /** Pieces of a streamed answer, and the pause between them. */
  chunks?: number;
  chunkDelayMs?: number;
  fault?: Fault;
  /** One for each call with this prompt; "ok" is none. The last one stays. Instead of `fault`. */
  faults?: (Fault | 'ok')[];
  /** The fault happens on the first so many calls with this prompt. */
  times?: number;
  /** Of fault 429, e.g. "1.5s". */
  retryDelay?: string;
};

/** The directive is not understood; the message says why, and is answered as 400. */
export class DirectiveError extends Error {}

const NUMBERS = [
  'delayMs',
  'inputTokens',
  'cachedTokens',
  'outputTokens',
  'thoughtTokens',
  'chunks',
  'chunkDelayMs',
  'times',
] as const;
const TEXTS = ['text', 'retryDelay'] as const;
const OPENING = '[[emulate ';

/** `… [[emulate {"delayMs":200,"fault":"503","times":1}]] …`; null without one. */
export function directiveOf(prompt: string): Behaviour | null {
  const start = prompt.indexOf(OPENING);
  if (start === -1) return null;
  let firstError: SyntaxError | null = null;
  // Its text may have brackets of its own: it ends where it is JSON.
  for (let end = prompt.indexOf(']]', start); end !== -1; end = prompt.indexOf(']]', end + 1)) {
    try {
      return checkBehaviour(JSON.parse(prompt.slice(start + OPENING.length, end)));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      firstError ??= error;
    }
  }
  throw new DirectiveError(
    firstError ? `the directive is not JSON: ${firstError.message}` : 'the directive [[emulate {…}]] is not closed',
  );
}

export function checkBehaviour(value: unknown): Behaviour {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new DirectiveError('must be an object');
  for (const [name, setting] of Object.entries(value)) {
    if ((NUMBERS as readonly string[]).includes(name)) {
      if (!Number.isSafeInteger(setting) || setting < 0)
        throw new DirectiveError(`${name} must be a whole number, not negative`);
    } else if ((TEXTS as readonly string[]).includes(name)) {
      if (typeof setting !== 'string') throw new DirectiveError(`${name} must be text`);
    } else if (name === 'fault') {
      if (typeof setting !== 'string' || !isFault(setting))
        throw new DirectiveError(`fault ${JSON.stringify(setting)} is not known`);
    } else if (name === 'faults') {
      const known =
        Array.isArray(setting) && setting.every((one) => one === 'ok' || (typeof one === 'string' && isFault(one)));
      if (!known) throw new DirectiveError('faults must be a list of known faults and "ok"');
    } else {
      const known = [...NUMBERS, ...TEXTS, 'fault', 'faults'].join(', ');
      throw new DirectiveError(`${name} is not a known setting: there are ${known}`);
    }
  }
  return value as Behaviour;
}

/** `call` counts from 1 for the same prompt. */
export function faultOf(behaviour: Behaviour, call: number): Fault | null {
  const { faults, fault, times } = behaviour;
  if (faults && faults.length > 0) {
    const one = faults[Math.min(call, faults.length) - 1]!;
    return one === 'ok' ? null : one;
  }
  if (!fault || (times !== undefined && call > times)) return null;
  return fault;
}
