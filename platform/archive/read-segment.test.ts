import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lines } from './read-segment.ts';

async function all(pieces: AsyncIterable<Buffer>): Promise<string[]> {
  const found: string[] = [];
  for await (const line of lines(pieces)) found.push(line);
  return found;
}

test('a line ends at a line feed alone, wherever the pieces are cut', async () => {
  const text = '{"a":"\u2028 \u2029 \u{1F427} é\\n"}\n{"b":"\r"}\n{"c":1}\n';
  const bytes = Buffer.from(text);
  for (let size = 1; size <= bytes.length; size += 1) {
    const pieces = async function* () {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
    };
    assert.deepEqual(await all(pieces()), text.trimEnd().split('\n'), `pieces of ${size}`);
  }
});

test('what is no UTF-8 is an error, not another letter', async () => {
  const pieces = async function* () {
    yield Buffer.from([0x7b, 0xff, 0x0a]);
  };
  await assert.rejects(all(pieces()), TypeError);
});
