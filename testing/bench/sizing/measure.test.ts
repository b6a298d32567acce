/** What figures are made of: rates while all had work, growth by table, processes as Linux tells them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRandom } from '../../kit/random.ts';
import { growthOf } from './growth.ts';
import { cpuSecondsOf, cpuSecondsOfTree, residentBytesOf, residentBytesOfTree } from './processes.ts';
import { textOf } from './text.ts';
import { between } from './workers.ts';

describe('the rate of a drain', () => {
  // One worker ends ten a second from the first second on, the other from the third.
  const ends = Array.from({ length: 200 }, (_, i) => ({ worker: 'a', at: 1 + i / 10 }))
    .concat(Array.from({ length: 180 }, (_, i) => ({ worker: 'b', at: 3 + i / 10 })))
    .toSorted((a, b) => a.at - b.at);

  test('counts from when every worker is at it until one may run out of work', () => {
    const { prompts, seconds } = between(ends, 2);
    assert.ok(Math.abs(prompts / seconds - 20) < 0.5, `${prompts} in ${seconds} s`);
    assert.ok(seconds < 17);
  });

  test('of a worker that did nothing, or of too small a backlog, is none', () => {
    assert.throws(() => between(ends, 3), /2 workers of 3/);
    assert.throws(() => between(ends.slice(0, 9), 1), /before all were at it/);
  });
});

test('growth is what was added for each prompt, and tables with fewer rows than prompts stand apart', () => {
  const relation = (table: string, index: string | null, rows: number, bytes: number) => ({
    table,
    index,
    rows,
    bytes,
  });
  const before = [
    relation('event', null, 0, 0),
    relation('event', 'event_pkey', 0, 8_192),
    relation('key', null, 1, 8_192),
  ];
  const after = [
    relation('event', null, 300, 500_000),
    relation('event', 'event_pkey', 0, 24_576),
    relation('key', null, 1, 8_192),
    relation('prompt_v3', null, 100, 90_000),
    relation('prompt_v3', 'prompt_v3_user_idx', 0, 9_000),
    relation('usage_v3', null, 7, 8_192),
    relation('usage_v3', 'usage_v3_0_pkey', 0, 16_384),
  ];
  assert.deepEqual(growthOf(before, after, 100), {
    prompts: 100,
    tables: [
      {
        table: 'event',
        rowsPerPrompt: 3,
        bytesPerPrompt: 5_000,
        indexes: [{ index: 'event_pkey', bytesPerPrompt: 163.84 }],
      },
      {
        table: 'prompt',
        rowsPerPrompt: 1,
        bytesPerPrompt: 900,
        indexes: [{ index: 'prompt_user_idx', bytesPerPrompt: 90 }],
      },
    ],
    others: [{ table: 'usage', rows: 7, bytes: 24_576 }],
  });
});

test('texts have the length that is asked for, and hardly two are the same', () => {
  const random = createRandom(1);
  const texts = Array.from({ length: 200 }, () => textOf(random, 400));
  assert.deepEqual([...new Set(texts.map((text) => text.length))], [400]);
  assert.equal(new Set(texts).size, 200);
});

test('processor time and memory of a process are what it says of itself', {
  skip: process.platform !== 'linux',
}, () => {
  const { user, system } = process.cpuUsage();
  assert.ok(Math.abs(cpuSecondsOf(process.pid) - (user + system) / 1e6) < 0.2);
  const own = cpuSecondsOf(process.pid); // time goes on between the two readings
  assert.ok(cpuSecondsOfTree(process.pid) >= own);
  const said = process.memoryUsage.rss();
  assert.ok(Math.abs(residentBytesOf(process.pid) / said - 1) < 0.2);
  assert.ok(residentBytesOfTree(process.pid) > said / 3);
});
