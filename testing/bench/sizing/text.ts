/** Prompts and answers of a given length, in the words of real ones, drawn from a seed. */
import { readFileSync } from 'node:fs';
import type { Random } from '../../kit/random.ts';

const data = (file: string): string => readFileSync(new URL(`../../data/${file}`, import.meta.url), 'utf8');

/** Each as often as it is written there. */
const words: string[] = ['mt-bench-questions.jsonl', 'mt-bench-reference-answers.jsonl']
  .flatMap((file) => data(file).trim().split('\n'))
  .flatMap((line) => stringsIn(JSON.parse(line)))
  .flatMap((text) => text.split(/\s+/))
  .filter((word) => /^[\w'’.,;:?!()-]+$/.test(word));

function stringsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(stringsIn) : [];
}

export function textOf(random: Random, characters: number): string {
  const picked: string[] = [];
  for (let length = 0; length <= characters; length += picked.at(-1)!.length + 1) picked.push(random.pick(words));
  return picked.join(' ').slice(0, characters).replace(/ $/, '.');
}
