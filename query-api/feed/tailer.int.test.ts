/** A process that stood still, as under SIGSTOP, while what it had not read yet left the log. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { readBounds } from '../../platform/postgres/read.ts';
import { createLog } from '../../testing/kit/archived-log.ts';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { until } from '../../testing/kit/until.ts';
import { createLiveModel } from '../read-models/live-model.ts';
import { createPromptReader } from '../read-models/prompt-reader.ts';
import type { FeedFrame } from './frame.ts';
import { createHub } from './hub.ts';
import { createTailer } from './tailer.ts';

const t = cleanup(after);

test('goes on from the newest event, says so, and tells all that comes then', async () => {
  const log = await createLog(t, 5);
  const { pool } = log;
  const hub = createHub();
  const frames: FeedFrame[] = [];
  hub.add({ kind: 'all' }, (frame) => frames.push(frame));
  const live = createLiveModel(pool);
  const reader = createPromptReader({ pool, primary: pool, live, onPoison: () => {} });
  let [standsStill, skipped] = [false, 0];
  // Its reads find no answer for as long as it stands.
  const held = {
    ...live,
    refresh: async () => {
      if (standsStill) throw new Error('stopped');
      return live.refresh();
    },
  };
  const tailer = createTailer({ pool, live: held, reader, hub, hints: null, log: { warn: () => {} } });
  await tailer.start(() => {
    skipped += 1;
  });
  t.after(tailer.stop);
  const from = tailer.published();
  standsStill = true;
  await log.write(5);
  await log.project();
  await log.archive();
  const { floor } = await readBounds(pool);
  assert.ok(floor > from);
  standsStill = false;
  await until('it goes on', () => tailer.published() >= floor);
  assert.deepEqual([skipped, frames.length], [1, 0]);
  await log.write(2);
  await log.project();
  const { head } = await readBounds(pool);
  await until('all that came is told', () => frames.at(-1)?.position === head);
  assert.deepEqual(
    frames.map(({ position }) => position),
    Array.from({ length: head - floor }, (_, i) => floor + 1 + i),
  );
});
