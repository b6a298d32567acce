import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { progressLines } from './progress-lines.ts';

test('how long the rest takes is told when there is a hundredth to go by', () => {
  const lines: string[] = [];
  const said = mock.method(console, 'error', (line: string) => void lines.push(line));
  try {
    const steps = [
      { phase: 'folding', position: 0, eventsPerSecond: 0 },
      { phase: 'folding', position: 5, eventsPerSecond: 1 },
      { phase: 'indexing', position: 9, eventsPerSecond: 1 },
      { phase: 'comparing', position: 10, eventsPerSecond: 33 },
    ];
    const tell = progressLines(() => 'version 2');
    for (const step of steps) tell({ ...step, target: 1_000, resumed: true });
  } finally {
    said.mock.restore();
  }
  assert.deepEqual(lines, [
    'version 2 is taken up again',
    'folding: 5 of 1000 events, 1/s',
    'indexing: 0 %',
    'comparing: 1 %, 30 s left',
  ]);
});
