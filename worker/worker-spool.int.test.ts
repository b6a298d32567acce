/** Postgres is away when answers come: what is paid for is on the disk, and settled by this process or the next. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { settleAttempt } from '../contracts/prompt/decide.ts';
import { newId } from '../platform/ids.ts';
import type { AppendEvents } from '../platform/postgres/append.ts';
import { decideAndAppend } from '../platform/postgres/decide-and-append.ts';
import { readPrompt } from '../platform/postgres/read.ts';
import { readSecret } from '../platform/postgres/secret.ts';
import { cleanup } from '../testing/kit/cleanup.ts';
import { until } from '../testing/kit/until.ts';
import { allDone, budget, callOf, completed, createRig, createScript, type Rig } from '../testing/kit/worker-rig.ts';
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

describe('a claim that nobody answered when its worker had to stop', () => {
  /** Its reply is lost, whether it took effect or not; then Postgres is away. */
  function lostClaim(isCommitted: boolean): { append: AppendEvents; readonly tries: number } {
    let tries = 0;
    return {
      append: async (one) => {
        tries += 1;
        if (tries === 1 && isCommitted) await rig.append(one);
        throw away;
      },
      get tries() {
        return tries;
      },
    };
  }

  async function stopped(c: { after: (fn: () => Promise<void>) => void }, isCommitted: boolean) {
    const line = rig.createLine();
    const promptId = await rig.submit({ retry: 'never' });
    const script = createScript(() => completed());
    const postgres = lostClaim(isCommitted);
    await line.dispatch(promptId);
    const first = line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { append: postgres.append, spool, name: `first-${promptId}` },
    );
    await until('its claim is asked for again', () => postgres.tries >= 2);
    await first.stop();
    const words = (await spool.held()).map(({ promptId: id, attempt, result }) => [id, attempt, result.end]);
    assert.deepEqual(words, [[promptId, 1, 'not_called']]);
    return { line, promptId, script };
  }

  test('stands: the next process tells that it was not called, and even `never` is asked again', async (c) => {
    const { line, promptId, script } = await stopped(c, true);
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { spool },
    );
    const failed = await until('it is on record', async () =>
      (await rig.events(promptId)).find((event) => event.type === 'AttemptFailed'),
    );
    assert.ok(failed.type === 'AttemptFailed');
    assert.deepEqual([failed.data.end, failed.data.nanoUsd, failed.data.boundNanoUsd], ['not_called', 0, null]);
    await line.dispatch(promptId);
    await callOf(script, promptId);
    await until('it is answered', async () => (await rig.types(promptId)).at(-1) === 'PromptCompleted');
    await until('the file is gone', async () => (await readdir(dir)).length === 0);
    assert.equal(script.calls.length, 1);
  });

  test('does not stand: its file is kept as long as it may, and goes when the prompt has gone on', async (c) => {
    const { line, promptId, script } = await stopped(c, false);
    let events = 0;
    const counting: Spool = {
      ...spool,
      remove: async (token) => {
        events = (await rig.events(promptId)).length;
        await spool.remove(token);
      },
    };
    const other = await rig.submit();
    await line.dispatch(other);
    const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
    line.worker(
      cleanup((fn) => c.after(fn)),
      script,
      { spool: counting, sleep },
    );
    await until('others are not held up by it', () => script.of(other).length === 1, 4_000);
    assert.ok((await spool.held()).some((held) => held.promptId === promptId));
    await line.dispatch(promptId);
    await callOf(script, promptId);
    await until('the file is gone', async () => (await readdir(dir)).length === 0);
    assert.ok(events >= 2, 'not before another claim was on record');
    await until('it is answered', async () => (await rig.types(promptId)).at(-1) === 'PromptCompleted');
    assert.deepEqual(await rig.types(promptId), ['PromptSubmitted', 'AttemptStarted', 'PromptCompleted']);
  });
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

test('a disk that refuses once is asked again: told to stop, the worker leaves its answer there', async (c) => {
  const line = rig.createLine();
  const promptId = await rig.submit();
  const script = createScript(() => completed('paid for'));
  const postgres = gate();
  let refusals = 2;
  const full: Spool = {
    ...spool,
    put: async (answer) => {
      refusals -= 1;
      if (refusals >= 0) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      await spool.put(answer);
    },
  };
  await line.dispatch(promptId);
  const worker = line.worker(
    cleanup((fn) => c.after(fn)),
    script,
    { append: postgres.append, spool: full },
  );
  await until('the disk took it', async () => (await spool.held()).length === 1);
  await worker.stop();
  assert.deepEqual(
    (await spool.held()).map((one) => one.promptId),
    [promptId],
  );
});

test('an answer to a prompt that this log does not know stays where it is, and holds up neither start nor stop', async (c) => {
  const line = rig.createLine();
  const [promptId, strange] = [await rig.submit(), newId()];
  const script = createScript(() => completed('paid for'));
  const postgres = gate();
  await line.dispatch(promptId);
  const first = line.worker(
    cleanup((fn) => c.after(fn)),
    script,
    { append: postgres.append, spool },
  );
  await until('it is in the spool', async () => (await spool.held()).length === 1);
  await first.stop();
  const [held] = await spool.held();
  await spool.remove(held!.token);
  await spool.put({ ...held!, promptId: strange, token: newId() });
  const next = await rig.submit();
  const worker = line.worker(
    cleanup((fn) => c.after(fn)),
    script,
    { spool },
  );
  await line.dispatch(next);
  await callOf(script, next);
  await until('it was told', () => line.warnings.some(({ message }) => message.includes('does not know the attempt')));
  await worker.stop();
  assert.deepEqual(
    (await spool.held()).map((one) => one.promptId),
    [strange],
  );
});

test('what the spool holds is settled before anything is claimed: a prompt given up meanwhile is not called again', async (c) => {
  const line = rig.createLine();
  const promptId = await rig.submit();
  const script = createScript(() => completed('paid for'));
  const postgres = gate();
  await line.dispatch(promptId);
  const first = line.worker(
    cleanup((fn) => c.after(fn)),
    script,
    { append: postgres.append, spool, leaseSeconds: 0.2 },
  );
  await until('it is in the spool', async () => (await spool.held()).length === 1);
  await first.stop();
  const [held] = await spool.held();
  // As the sweeper does when the lease is dead.
  const given = await decideAndAppend({
    read: (id) => readPrompt(rig.pool, id),
    append: rig.append,
    promptId,
    decide: (state) =>
      settleAttempt(
        state,
        {
          ...held!.result,
          charge: { ...held!.result.charge, nanoUsd: null, boundNanoUsd: 5 },
          end: 'lost',
          code: 'lease_lost',
          message: '',
        },
        budget,
      ),
    metadata: () => ({ correlationId: 'c', causationId: newId(), traceparent: null, actor: 'relay:test' }),
  });
  assert.equal(given.status, 'done');
  await line.dispatch(promptId);
  const slow: Spool = {
    ...spool,
    held: async () => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return spool.held();
    },
  };
  line.worker(
    cleanup((fn) => c.after(fn)),
    script,
    { spool: slow, leaseSeconds: 0.2, sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)) },
  );
  await allDone(line);
  assert.equal((await rig.types(promptId)).at(-1), 'PromptCompleted');
  assert.equal(script.calls.length, 1, 'the provider is not paid twice');
});
