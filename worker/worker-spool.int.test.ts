/** Postgres is away when answers come: what is paid for is on the disk, and settled by this process or the next. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { AppendEvents } from '../platform/postgres/append.ts';
import { readSecret } from '../platform/postgres/secret.ts';
import { cleanup } from '../testing/kit/cleanup.ts';
import { until } from '../testing/kit/until.ts';
import { allDone, callOf, completed, createRig, createScript, type Rig } from '../testing/kit/worker-rig.ts';
import { openSpool, type Spool } from './spool/spool.ts';
import { spoolKey } from './spool/spool-file.ts';

const t = cleanup(after);
let rig: Rig;
let dir: string;
let spool: Spool;
before(async () => {
  rig = await createRig(t);
});
const logger = { error: () => {} };
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'spool-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  spool = await openSpool({ dir, key: spoolKey(await readSecret(rig.pool)), logger });
});

const away = Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });

/** Takes claims, and settles only when it is told that Postgres is back. */
function gate(): { append: AppendEvents; open: () => void; readonly refused: number } {
  let [isOpen, refused] = [false, 0];
  return {
    append: async (one) => {
      if (isOpen || one.outbox?.op === 'claim') return rig.append(one);
      refused += 1;
      throw away;
    },
    open: () => {
      isOpen = true;
    },
    get refused() {
      return refused;
    },
  };
}

describe('an answer that comes while Postgres is away', () => {
  test('is on the disk, settled when it is back, and then gone from the disk', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript();
    const postgres = gate();
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { append: postgres.append, spool },
    );
    (await callOf(script, promptId)).end(completed('paid for'));
    const [held] = await until('it is in the spool', async () => {
      const all = await spool.held();
      return all.length > 0 ? all : null;
    });
    assert.deepEqual([held?.promptId, held?.attempt, held?.result.end], [promptId, 1, 'completed']);
    assert.equal((await line.pending()).length, 1);
    postgres.open();
    await allDone(line);
    assert.deepEqual(await rig.types(promptId), ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted']);
    assert.deepEqual(await readdir(dir), []);
  });

  test('outlives its process: told to stop it leaves it, and the next one settles it without a call', async (c) => {
    const line = rig.createLine();
    const promptIds = [await rig.submit(), await rig.submit(), await rig.submit({ retry: 'never' })];
    const script = createScript(() => completed('paid for'));
    const postgres = gate();
    await line.dispatch(...promptIds);
    const first = line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { append: postgres.append, spool },
    );
    await until('all answers are in the spool', async () => (await spool.held()).length === 3);
    await first.stop();
    assert.equal(first.running, 0);
    assert.equal((await line.pending()).length, 3, 'their entries are not acknowledged');
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { spool, leaseSeconds: 0.2 },
    );
    for (const promptId of promptIds) {
      const types = await until('it is settled', async () => {
        const now = await rig.types(promptId);
        return now.length === 3 ? now : null;
      });
      assert.deepEqual(types, ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted']);
    }
    await allDone(line);
    assert.equal(script.calls.length, 3);
    assert.deepEqual(await readdir(dir), []);
    const last = (await rig.events(promptIds[0]!)).at(-1);
    assert.ok(last?.type === 'PromptCompleted' && last.data.answer === 'paid for');
    assert.equal((await line.results()).length, 3, 'the results stream is told');
  });

  test('that the disk does not take is held in memory, told, and settled', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript();
    const postgres = gate();
    const full: Spool = {
      ...spool,
      put: async () => {
        throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      },
    };
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { append: postgres.append, spool: full },
    );
    (await callOf(script, promptId)).end(completed());
    await until('it was told', () => line.warnings.some(({ message }) => message.includes('in memory alone')));
    await until('it was tried again', () => postgres.refused >= 3);
    postgres.open();
    await allDone(line);
    assert.equal((await rig.types(promptId)).at(-1), 'PromptCompleted');
    assert.equal(line.warnings.filter(({ message }) => message.includes('in memory alone')).length, 1);
  });

  test('is put there too when Postgres neither takes nor refuses it for long, and the file goes', async (c) => {
    const line = rig.createLine();
    const promptId = await rig.submit();
    const script = createScript(() => completed());
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const append: AppendEvents = async (one) => {
      if (one.outbox?.op !== 'claim') await released;
      return rig.append(one);
    };
    await line.dispatch(promptId);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { append, spool },
    );
    await until('it is in the spool', async () => (await readdir(dir)).some((name) => name.endsWith('.answer')));
    release();
    await allDone(line);
    await until('the file is gone', async () => (await readdir(dir)).length === 0);
  });
});

test('an answer settled at once never touches the disk', async (c) => {
  const line = rig.createLine();
  const promptId = await rig.submit();
  let puts = 0;
  const counting: Spool = {
    ...spool,
    put: async (answer) => {
      puts += 1;
      await spool.put(answer);
    },
  };
  await line.dispatch(promptId);
  line.worker(
    cleanup((fn) => c.after(fn)),
    createScript(() => completed()),
    { spool: counting },
  );
  await allDone(line);
  assert.equal(puts, 0);
});

test('two workers that find the same answer record it once', async (c) => {
  const line = rig.createLine();
  const promptId = await rig.submit();
  const script = createScript(() => completed());
  const postgres = gate();
  await line.dispatch(promptId);
  const first = line.worker(
    cleanup((fn) => c.after(fn)),
    script,
    { append: postgres.append, spool },
  );
  await until('it is in the spool', async () => (await spool.held()).length === 1);
  await first.stop();
  const ends = cleanup((fn) => c.after(fn));
  for (let i = 0; i < 2; i += 1) line.worker(ends, script, { spool, leaseSeconds: 0.2 });
  await allDone(line);
  assert.deepEqual(await rig.types(promptId), ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted']);
  assert.equal(script.calls.length, 1);
});
