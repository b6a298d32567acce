/** A rebuild that an admin asks for over HTTP, while prompts flow and others read; the way back, and the end of a version. */
import assert from 'node:assert/strict';
import { type IncomingMessage, request } from 'node:http';
import { after, afterEach, before, describe, test } from 'node:test';
import type { RebuildFrame, ServerFrame } from '../../contracts/feed/frames.ts';
import type { Projection } from '../../contracts/http/projections.ts';
import { armFailPoints } from '../../platform/fail-points.ts';
import { rebuildByTool } from '../../projector/rebuild/by-tool.ts';
import { cleanup } from '../kit/cleanup.ts';
import { subscribe } from '../kit/feed.ts';
import { run } from '../kit/process.ts';
import { type Client, startTestStack, type TestStack } from '../kit/stack.ts';
import { latch, until } from '../kit/until.ts';
import { createProbe, type Probe } from './http-edges-probe.ts';

const t = cleanup(after);
let stack: TestStack;
let ada: Client;
let root: Client;
let keys: { ada: string; root: string };
let as: { ada: Probe; root: Probe };
before(async () => {
  stack = await startTestStack(t);
  keys = { ada: await stack.key('ada'), root: await stack.key('root', 'admin') };
  as = { ada: createProbe(stack, keys.ada), root: createProbe(stack, keys.root) };
  [ada, root] = [await stack.client('ada'), await stack.client('root', 'admin')];
  const asked = await Promise.all(Array.from({ length: 20 }, (_, i) => ask(`before ${i}`)));
  for (const { id } of asked) await ada.prompt(id, { wait: 10 });
});
afterEach(() => armFailPoints(() => {}));

const ask = (prompt: string) => ada.ask({ prompt, model: 'gemini-2.5-flash' });
const prompts = async (): Promise<Projection> => (await root.projections()).data[0]!;
const ended = (id: string) =>
  until(`rebuild ${id} has ended`, async () => {
    const last = (await prompts()).lastRebuild;
    return last?.id === id ? last : null;
  });
const json = (body: string) => ({ body, headers: { 'content-type': 'application/json' } });
const rebuildsIn = (frames: ServerFrame[]) => frames.filter((frame): frame is RebuildFrame => frame.type === 'rebuild');

/** Rebuilds stand after their first page, until `release`. */
function holdRebuilds() {
  const [reached, held] = [latch(), latch()];
  armFailPoints((name) => {
    if (name !== 'rebuild.page_folded') return;
    reached.release();
    return held.promise;
  });
  return { reached: reached.promise, release: held.release };
}

async function openStream(key: string): Promise<{ text: () => string; close: () => void }> {
  const sent = request(new URL('/live/events', stack.address), { headers: { authorization: `Bearer ${key}` } });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve);
    sent.once('error', reject);
    sent.end();
  });
  let text = '';
  response.setEncoding('utf8');
  response.on('data', (piece: string) => {
    text += piece;
  });
  response.on('error', () => {});
  return { text: () => text, close: () => response.destroy() };
}

describe('a rebuild asked for over HTTP', () => {
  test('is built beside what is served: nobody who reads or asks notices, and admins see how far it is', async () => {
    const feeds = {
      root: await subscribe(stack.address, keys.root),
      ada: await subscribe(stack.address, keys.ada),
      one: await subscribe(stack.address, keys.root, { promptId: (await ask('watched alone')).id }),
    };
    const stream = await openStream(keys.root);
    const before = await prompts();
    const held = holdRebuilds();
    const accepted = await as.root.send('POST', '/projections/prompts/rebuilds', json('{}'));
    assert.equal(accepted.status, 202, accepted.text);
    assert.equal(accepted.header('location'), '/projections');
    const { id, projection, requestedAt } = JSON.parse(accepted.text) as Record<string, string>;
    assert.equal(projection, 'prompts');
    assert.ok(Math.abs(Date.parse(requestedAt!) - Date.now()) < 60_000);

    let reading = true;
    const seen: { total: number; list: number }[] = [];
    const reader = (async () => {
      while (reading) {
        const [users, list] = await Promise.all([
          root.stats<{ userId: string; prompts: number }>('users'),
          ada.prompts({ limit: 200 }),
        ]);
        seen.push({ total: users.data.find(({ userId }) => userId === 'ada')?.prompts ?? 0, list: list.data.length });
      }
    })();
    await held.reached;
    const half = (await prompts()).openRebuild!;
    assert.deepEqual([half.id, half.requestedBy, half.dryRun, half.outcome], [id, 'root', false, null]);
    for (let i = 0; i < 10; i += 1) {
      const { id: asked, position } = await ask(`meanwhile ${i}`);
      assert.equal((await ada.prompt(asked, { wait: 10, minPosition: position })).status, 'completed');
    }
    held.release();
    const done = await ended(id!);
    const { id: later, position } = await ask('after the switch');
    await ada.prompt(later, { wait: 10, minPosition: position });
    await Promise.race([until('it was read after the switch', () => (seen.at(-1)?.list ?? 0) >= 32), reader]);
    reading = false;
    await reader;

    assert.deepEqual([done.outcome, done.error, done.version], ['switched', null, before.version + 1]);
    const served = await prompts();
    assert.deepEqual([served.version, served.openRebuild], [before.version + 1, null]);
    assert.deepEqual(
      served.versions.map(({ version, status, served, verdict }) => [version, status, served, verdict]),
      [
        [before.version, 'ready', false, null],
        [before.version + 1, 'ready', true, 'equal'],
      ],
    );
    assert.ok(seen.length > 3);
    for (const [i, { total, list }] of seen.entries()) {
      assert.ok(total >= 20 && list >= 20, `read ${i}: ${total} ${list}`);
      assert.ok(i === 0 || list >= seen[i - 1]!.list, `read ${i}: ${list} after ${seen[i - 1]?.list}`);
    }

    const last = await until('its outcome is on the feed', () => {
      const told = rebuildsIn(feeds.root.frames).find(({ outcome }) => outcome !== undefined);
      return told ?? null;
    });
    assert.deepEqual([last.id, last.projection, last.version, last.outcome], [id, 'prompts', done.version, 'switched']);
    assert.ok(rebuildsIn(feeds.root.frames).some(({ phase, outcome }) => phase === 'folding' && outcome === undefined));
    assert.equal(rebuildsIn(feeds.root.frames).at(-1), last);
    assert.deepEqual([...rebuildsIn(feeds.ada.frames), ...rebuildsIn(feeds.one.frames)], []);
    const positions = feeds.root.frames.flatMap((one) =>
      'position' in one && one.type !== 'hello' ? [one.position] : [],
    );
    assert.ok(positions.every((one, i) => i === 0 || one > positions[i - 1]!));
    await until('its outcome is on the stream', () => /"outcome":"switched"/.test(stream.text()));
    for (const message of stream
      .text()
      .split('\n\n')
      .filter((one) => one.includes('"type":"rebuild"')))
      assert.doesNotMatch(message, /^id:/m);
    for (const feed of Object.values(feeds)) feed.close();
    stream.close();
  });

  test('is one at a time, and meanwhile no version changes its place', async () => {
    const held = holdRebuilds();
    const { id } = await root.rebuild('prompts', { dryRun: true });
    await held.reached;
    const { version, versions } = await prompts();
    const other = versions.find(({ served }) => !served)!.version;
    for (const [method, path] of [
      ['POST', '/projections/prompts/rebuilds'],
      ['POST', `/projections/prompts/versions/${version}/serve`],
      ['DELETE', `/projections/prompts/versions/${other}`],
    ] as const) {
      const refused = await as.root.send(method, path);
      assert.deepEqual([refused.status, refused.body.code], [409, 'rebuild_running'], `${method} ${path}`);
      assert.equal(refused.header('content-type'), 'application/problem+json; charset=utf-8');
    }
    const tool = run(t, ['cli/replay.ts'], { POSTGRES_URI: stack.database.uri });
    assert.equal(await tool.exit, 1);
    assert.match(tool.said(), /^Another rebuild, or an archive, is running: let it end, or stop it\.$/m);
    assert.equal((await prompts()).openRebuild?.id, id);
    held.release();
    assert.equal((await ended(id)).outcome, 'dropped');
    assert.deepEqual([(await prompts()).version, (await prompts()).lastRebuild?.id], [version, id]);
  });

  test('of two requests at once, one is taken', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => as.root.send('POST', '/projections/prompts/rebuilds')));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [202, 409, 409]);
    await ended((JSON.parse(answers.find(({ status }) => status === 202)!.text) as { id: string }).id);
  });

  test('that differs is dropped, and served where that was asked for', async () => {
    const before = await prompts();
    await stack.database.pool.query(`UPDATE prompt_text_v${before.version} SET answer = 'another'`);
    const dropped = await ended((await root.rebuild('prompts')).id);
    const differs = `differs from version ${before.version}: prompt_text`;
    assert.deepEqual([dropped.outcome, dropped.error, dropped.acceptDifferences], ['dropped', differs, false]);
    assert.equal((await prompts()).version, before.version);
    const accepted = await ended((await root.rebuild('prompts', { acceptDifferences: true })).id);
    assert.deepEqual([accepted.outcome, accepted.error, accepted.acceptDifferences], ['switched', differs, true]);
    const after = await prompts();
    assert.equal(after.version, accepted.version);
    const { verdict } = after.versions.find(({ served }) => served)!;
    assert.equal(verdict, 'different');
    assert.equal((await ended((await root.rebuild('prompts')).id)).outcome, 'switched');
  });

  test('of a log whose beginning is archived fails where its projector knows no archive, and says what it lacks', async () => {
    const { pool } = stack.database;
    const { version, versions } = await prompts();
    await pool.query('UPDATE log_head SET floor = 7');
    try {
      const done = await ended((await root.rebuild('prompts')).id);
      assert.deepEqual(
        [done.outcome, done.error],
        ['failed', 'Events up to position 7 are archived: say where, with --archive DIR or ARCHIVE_DIR.'],
      );
    } finally {
      await pool.query('UPDATE log_head SET floor = 0');
    }
    const after = await prompts();
    assert.deepEqual([after.version, after.versions.length], [version, versions.length]);
  });

  test('is refused in other words for what is not there, not right or not theirs', async () => {
    const cases = [
      ['root', 'POST', '/projections/orders/rebuilds', undefined, 404, 'not_found'],
      ['root', 'POST', '/projections/a%00b/rebuilds', undefined, 400, 'invalid_request'],
      ['root', 'POST', '/projections/prompts/rebuilds', '{"dryRun":"yes"}', 400, 'invalid_request'],
      ['root', 'POST', '/projections/prompts/rebuilds', '{"acceptDifferences":1}', 400, 'invalid_request'],
      ['root', 'POST', '/projections/prompts/rebuilds', '{"lanes":4}', 400, 'invalid_request'],
      ['ada', 'POST', '/projections/prompts/rebuilds', '{}', 403, 'forbidden'],
      ['ada', 'POST', '/projections/prompts/versions/1/serve', undefined, 403, 'forbidden'],
      ['ada', 'DELETE', '/projections/prompts/versions/1', undefined, 403, 'forbidden'],
      ['ada', 'GET', '/projections', undefined, 403, 'forbidden'],
      ['ada', 'GET', '/projections/prompts/rebuilds', undefined, 403, 'forbidden'],
      ['root', 'GET', '/projections/orders/rebuilds', undefined, 404, 'not_found'],
      ['root', 'GET', '/projections/prompts/rebuilds?cursor=x', undefined, 400, 'invalid_request'],
    ] as const;
    for (const [who, method, path, body, status, code] of cases) {
      const answer = await as[who].send(method, path, body === undefined ? {} : json(body));
      assert.deepEqual([answer.status, answer.body.code], [status, code], `${who} ${method} ${path} ${answer.text}`);
    }
  });

  test('stays listed, page by page, newest first', async () => {
    const all = (await root.rebuilds('prompts')).data;
    assert.ok(all.length >= 3);
    const paged: string[] = [];
    for (let cursor: string | null = null; ; ) {
      const page = await root.rebuilds('prompts', { limit: 2, ...(cursor && { cursor }) });
      paged.push(...page.data.map(({ id }) => id));
      cursor = page.nextCursor;
      if (!page.hasMore) break;
    }
    assert.deepEqual(
      paged,
      all.map(({ id }) => id),
    );
    assert.deepEqual(paged, [...paged].sort().reverse());
  });
});

describe('a rebuild that is cancelled', () => {
  const cancel = (id: string, as_: Probe = as.root, name = 'prompts') =>
    as_.send('DELETE', `/projections/${name}/rebuilds/${id}`);
  /** Of whoever does it: they are cut when it has heard of it. */
  const cut = () =>
    until('its connections are cut', async () => {
      const { rows } = await stack.database.pool.query<{ n: number }>(
        `SELECT count(*)::integer AS n FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'rebuild'`,
      );
      return rows[0]?.n === 0;
    });

  test('is broken off by its projector: what it has built is dropped, what is served stays', async () => {
    const feed = await subscribe(stack.address, keys.root);
    const before = await prompts();
    const held = holdRebuilds();
    const { id } = await root.rebuild('prompts');
    await held.reached;
    await until('it has a version', async () => (await prompts()).openRebuild?.version ?? null);
    assert.equal((await cancel(id, as.ada)).status, 403);
    assert.deepEqual(await root.cancelRebuild('prompts', id), { id, projection: 'prompts', outcome: null });
    await cut();
    held.release();
    const done = await ended(id);
    assert.deepEqual([done.outcome, done.error], ['cancelled', 'cancelled by root']);
    const places = ({ versions }: Projection) => versions.map(({ version, served }) => [version, served]);
    assert.deepEqual(places(await prompts()), places(before));
    await until('it is told', () =>
      rebuildsIn(feed.frames).some((one) => one.id === id && one.outcome === 'cancelled'),
    );
    feed.close();
    assert.equal((await root.cancelRebuild('prompts', id)).outcome, 'cancelled', 'once more changes nothing');
    const { id: next } = await root.rebuild('prompts', { dryRun: true });
    assert.equal((await ended(next)).outcome, 'dropped');
    const late = await cancel(next);
    assert.deepEqual([late.status, late.body.code, late.body.detail], [409, 'rebuild_ended', 'its outcome is dropped']);
  });

  test('ends at once when nobody has begun it', async () => {
    const holder = await stack.database.pool.connect();
    try {
      await holder.query('SELECT pg_advisory_lock(7303)');
      const { id } = await root.rebuild('prompts');
      assert.equal((await root.cancelRebuild('prompts', id)).outcome, 'cancelled');
      assert.deepEqual([(await prompts()).openRebuild, (await prompts()).lastRebuild?.id], [null, id]);
    } finally {
      await holder.query('SELECT pg_advisory_unlock(7303)');
      holder.release();
    }
  });

  test('by a tool is on the feed and in the list as any other, and breaks off too', async () => {
    const feed = await subscribe(stack.address, keys.root);
    const held = holdRebuilds();
    const replay = rebuildByTool({
      uri: stack.database.uri,
      tool: 'npm run replay',
      dryRun: false,
      onProgress: () => {},
      logger: { warn: () => {} },
    });
    const refused = assert.rejects(replay, {
      code: 'rebuild_refused',
      message: 'The rebuild was cancelled by root, what it had built is dropped.',
    });
    await held.reached;
    const open = await until('it is told', async () => {
      const { openRebuild } = await prompts();
      return openRebuild?.progress.phase === 'folding' ? openRebuild : null;
    });
    assert.deepEqual([open.byTool, open.requestedBy, open.dryRun], [true, 'npm run replay', false]);
    await until('it is on the feed', () =>
      rebuildsIn(feed.frames).some(({ id, phase }) => id === open.id && phase === 'folding'),
    );
    const second = await as.root.send('POST', '/projections/prompts/rebuilds');
    assert.deepEqual([second.status, second.body.code], [409, 'rebuild_running']);
    assert.equal((await root.cancelRebuild('prompts', open.id)).outcome, null);
    await cut();
    held.release();
    await refused;
    assert.equal((await ended(open.id)).outcome, 'cancelled');
    feed.close();
  });

  test('is refused where there is none', async () => {
    const nobody = '019aaf00-0000-7000-8000-000000000000';
    const { id } = (await prompts()).lastRebuild!;
    assert.deepEqual([(await cancel(nobody)).status, (await cancel(id, as.root, 'orders')).status], [404, 404]);
    assert.equal((await cancel('x')).status, 400);
  });
});

describe('a version', () => {
  const act = (method: string, version: number | string, rest = '') =>
    as.root.send(method, `/projections/prompts/versions/${version}${rest}`);

  test('served before is served again, without a gap, and the other one dropped', async () => {
    const { id } = await root.rebuild('prompts');
    const built = (await ended(id)).version!;
    const former = (await prompts()).versions.find(({ served }) => !served)!.version;
    const { id: asked, position } = await ask('both have it');
    await ada.prompt(asked, { wait: 10, minPosition: position });
    assert.equal((await act('DELETE', built)).body.code, 'version_served');
    // Both are tailed; the former may be a moment behind.
    const back = await until('the former one is served', async () => {
      const answer = await act('POST', former, '/serve');
      if (answer.status !== 200) assert.equal(answer.body.code, 'version_behind');
      return answer.status === 200 ? answer : null;
    });
    assert.deepEqual(JSON.parse(back.text), { projection: 'prompts', version: former });
    assert.equal((await act('POST', former, '/serve')).status, 200, 'once more changes nothing');
    assert.equal((await prompts()).version, former);
    assert.equal((await ada.prompt(asked, { minPosition: position })).id, asked);
    assert.equal((await act('DELETE', built)).status, 204);
    assert.equal((await act('DELETE', built)).status, 404);
    assert.deepEqual(
      (await prompts()).versions.map(({ version }) => version),
      [former],
    );
  });

  test('that is not whole, ends at a position or does not exist is never served', async () => {
    const { pool } = stack.database;
    await pool.query(`INSERT INTO projection_version (name, version, status, frozen) VALUES
      ('prompts', 901, 'building', false), ('prompts', 902, 'ready', true)`);
    for (const version of [901, 902]) {
      const refused = await act('POST', version, '/serve');
      assert.deepEqual([refused.status, refused.body.code], [409, 'version_not_servable']);
      assert.equal((await act('DELETE', version)).status, 204);
    }
    assert.equal((await act('POST', 903, '/serve')).status, 404);
    for (const version of ['0', '1e2', '-1', 'x', '99999999999']) {
      assert.equal((await act('POST', version, '/serve')).status, 400, version);
      assert.equal((await act('DELETE', version)).status, 400, version);
    }
  });

  test('that is behind waits for its projector', async () => {
    const { pool } = stack.database;
    await pool.query(`INSERT INTO projection_version (name, version, status) VALUES ('prompts', 904, 'ready')`);
    await pool.query(`INSERT INTO cursor (name, version) VALUES ('prompts', 904)`);
    const refused = await act('POST', 904, '/serve');
    assert.deepEqual([refused.status, refused.body.code, refused.body.retryable], [409, 'version_behind', true]);
    assert.equal((await act('DELETE', 904)).status, 204);
  });
});
