/** What a model would say and count, always the same for the same prompt. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Behaviour } from './behaviour.ts';

export type Answer = {
  text: string;
  finishReason: 'STOP' | 'MAX_TOKENS';
  usage: {
    promptTokenCount: number;
    candidatesTokenCount: number;
    thoughtsTokenCount: number;
    cachedContentTokenCount: number;
    totalTokenCount: number;
  };
  responseId: string;
};

/** The first words of every answer. */
export const MARK = '[emulated answer]';

const references = loadReferences();

export function answerTo(
  model: string,
  prompt: string,
  maxOutputTokens: number | undefined,
  behaviour: Behaviour,
): Answer {
  const digest = createHash('sha256').update(`${model}\n${prompt}`).digest('hex');
  const whole = behaviour.text ?? `${MARK} ${references.get(prompt.trim()) ?? plausible(prompt)}`;
  const cut =
    maxOutputTokens !== undefined && tokensOf(whole) > maxOutputTokens && behaviour.outputTokens === undefined;
  const text = cut ? whole.slice(0, maxOutputTokens * 4) : whole;
  const promptTokenCount = behaviour.inputTokens ?? tokensOf(prompt);
  const candidatesTokenCount = behaviour.outputTokens ?? tokensOf(text);
  const thoughtsTokenCount = behaviour.thoughtTokens ?? 0;
  const cachedContentTokenCount = behaviour.cachedTokens ?? 0;
  return {
    text,
    finishReason: cut ? 'MAX_TOKENS' : 'STOP',
    usage: {
      promptTokenCount,
      candidatesTokenCount,
      thoughtsTokenCount,
      cachedContentTokenCount,
      totalTokenCount: promptTokenCount + candidatesTokenCount + thoughtsTokenCount,
    },
    responseId: digest.slice(0, 22),
  };
}

/** About four bytes to a token, as with real ones. */
export const tokensOf = (text: string): number => Math.max(1, Math.ceil(Buffer.byteLength(text) / 4));

function plausible(prompt: string): string {
  const words = prompt
    .replace(/\[\[emulate .*?\]\]/s, '')
    .trim()
    .split(/\s+/)
    .slice(0, 12)
    .join(' ');
  return `No model was asked. A real one would answer here: “${words}${words === '' ? 'nothing' : ''}”.`;
}

/** Reference answers of MT-Bench by the question's first turn. */
function loadReferences(): Map<string, string> {
  const lines = (file: string) =>
    readFileSync(new URL(`../data/${file}`, import.meta.url), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  const answers = new Map<number, string>(
    lines('mt-bench-reference-answers.jsonl').map((row) => [row.question_id, row.choices[0].turns[0]]),
  );
  return new Map(
    lines('mt-bench-questions.jsonl').flatMap((row) => {
      const answer = answers.get(row.question_id);
      return answer === undefined ? [] : [[row.turns[0].trim(), answer]];
    }),
  );
}
