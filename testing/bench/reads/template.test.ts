import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { orderCopies } from './order.ts';
import { idsOf, templateOf, timeOf } from './template.ts';

const order = orderCopies([0, 100, 1_200_000], 2);
const copying = { users: 10, prompts: 1_000, order };
const ID = '019aaf00-0000-7000-8000-00000000000a';
const columns = ['position', 'stream_id', 'data', 'recorded_at'];
const row = [
  '3',
  ID,
  `{"userId": "user-7", "token": "${ID}", "prompt": "the sea case12"}`,
  '2026-03-01 10:00:00.25+00',
].join('\t');

describe('a row of a copy', () => {
  test('of the first is the row, with times and positions as they are in the whole', () => {
    const first = templateOf(row, columns, false, { ...copying, order: orderCopies([0, 100, 1_200_000], 1) });
    assert.equal(first(0), row);
  });

  test('has ids, users, words, positions and times of its own', () => {
    const second = templateOf(row, columns, true, copying)(1).split('\t');
    const id = ID.replace(/a$/, 'b');
    assert.equal(second[0], String(order.positions[5]));
    assert.equal(second[1], id);
    assert.deepEqual(JSON.parse(second[2]!), {
      userId: 'user-17',
      token: id,
      prompt: 'the sea case1012',
    });
    assert.equal(second[3], '2026-03-01T10:05:00.250Z');
  });

  test('of a bucket keeps its time, and nothing that is null becomes a position', () => {
    const bucket = templateOf('2026-03-01 10:00:00+00\tuser-0\t5', ['bucket', 'user_id', 'n'], false, copying);
    assert.equal(bucket(1), '2026-03-01 10:00:00+00\tuser-10\t5');
    assert.equal(templateOf('\\N\t1', ['settled_position', 'n'], true, copying)(1), '\\N\t1');
  });

  test('as a line of an archive keeps its spaces and its microseconds', () => {
    const line = `{"position" : 3, "streamId" : "${ID}", "recordedAt" : "2026-03-01T10:00:00.250000Z"}`;
    assert.equal(
      templateOf(line, ['line'], true, copying)(1),
      `{"position" : ${order.positions[5]}, "streamId" : "${idsOf(ID)(1)}", "recordedAt" : "2026-03-01T10:05:00.250000Z"}`,
    );
  });

  test('has every time as a Date tells it', () => {
    for (const ms of [0, 59_999, 60_000, 951_782_399_999, 1_772_359_200_050, 59_999])
      assert.equal(timeOf(ms), new Date(ms).toISOString());
  });

  test('ids that end at the highest number go on at the lowest', () => {
    const last = templateOf(ID.replace(/0{5}a$/, 'ffffff'), ['stream_id'], true, copying);
    assert.equal(last(1), ID.replace(/0{5}a$/, '000000'));
  });
});
