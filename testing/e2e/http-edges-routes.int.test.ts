/** The edge of every other route: addresses, methods, query strings, ids, and the optional bodies of cancel and retry. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cleanup } from '../kit/cleanup.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { type Answer, createProbe, type Probe, pointers } from './http-edges-probe.ts';

const t = cleanup(after);
let stack: TestStack;
let probe: Probe;
before(async () => {
  stack = await startTestStack(t);
  probe = createProbe(stack, await stack.key('ada'));
});

const NONE = '019aaf00-0000-7000-8000-000000000000';
const get = (path: string) => probe.send('GET', path);
const told = (answer: Answer) => `${answer.status} ${answer.text.slice(0, 300)}`;

describe('an address that nobody has', () => {
  test('is a 404 problem, with a key and without', async () => {
    const paths = ['/nope', '/ask/', '/ASK', '/prompts;a=1', '/docs/nope', '/%00', '/..%2fpackage.json', '/.env'];
    for (const path of [...paths, '/docs/static/..%2f..%2fpackage.json', `/prompts/${NONE}/`, '/%2fprompts']) {
      for (const key of [await stack.key('ada'), null]) {
        const answer = await probe.send('GET', path, { key });
        assert.deepEqual([answer.status, answer.body.code], [404, 'not_found'], `${path} ${told(answer)}`);
      }
    }
  });

  test('is a 404 or 405 problem under another method than its own', async () => {
    const wrong = { GET: '/ask', PUT: '/ask', DELETE: `/prompts/${NONE}`, PATCH: '/prompts', POST: '/health' };
    for (const [method, path] of Object.entries(wrong)) {
      const answer = await probe.send(method, path, { key: null });
      assert.ok([404, 405].includes(answer.status), `${method} ${path} ${told(answer)}`);
    }
    for (const path of ['/ask', '/prompts', '/live/tickets']) {
      assert.ok([404, 405].includes((await probe.send('OPTIONS', path)).status), path);
    }
    assert.equal((await get(`/prompts/${NONE}/cancel`)).status, 404);
    assert.equal((await probe.send('HEAD', '/nope')).status, 404);
  });

  test('is a problem where a WebSocket was expected', async () => {
    const answer = await get('/live');
    assert.ok(answer.status >= 400, told(answer));
  });
});

describe('an id', () => {
  const routes = [
    ['GET', ''],
    ['GET', '/events'],
    ['POST', '/cancel'],
    ['POST', '/retry'],
  ] as const;
  const bad = ['x', '1', 'null', `{${NONE}}`, NONE.replaceAll('-', ''), `${NONE}0`, `${NONE}%20`, '%F0%9F%98%80', '*'];
  for (const [method, rest] of routes) {
    test(`that is no UUID is 400 at ${method} /prompts/{id}${rest}`, async () => {
      for (const id of [...bad, "1'%20OR%20'1'='1", '..%2f..%2fask', 'a%00b']) {
        const answer = await probe.send(method, `/prompts/${id}${rest}`);
        assert.equal(answer.status, 400, `${id} ${told(answer)}`);
        assert.deepEqual(pointers(answer), ['/id']);
      }
    });

    test(`written as a URN is 400 at ${method} /prompts/{id}${rest}, not a fault of ours`, async () => {
      assert.equal((await probe.send(method, `/prompts/urn:uuid:${NONE}${rest}`)).status, 400);
    });

    test(`is the same in capitals at ${method} /prompts/{id}${rest}`, async () => {
      assert.equal((await probe.send(method, `/prompts/${NONE.toUpperCase()}${rest}`)).status, 404);
    });
  }

  test('of no UUID is 400 where it is asked for in a query', async () => {
    for (const path of ['/live/events?promptId=x', '/prompts?conversationId=x', `/prompts?conversationId={${NONE}}`]) {
      assert.equal((await get(path)).status, 400, path);
    }
  });

  test('written as a URN is 400 in the query of the event stream', async () => {
    assert.equal((await get(`/live/events?promptId=urn:uuid:${NONE}`)).status, 400);
  });
});

describe('a query', () => {
  const cases: [path: string, names: string[]][] = [
    ['/prompts', ['limit=0', 'limit=201', 'limit=-1', 'limit=abc', 'limit=', 'limit=1.5', 'limit=1e400']],
    ['/prompts', ['cursor=', 'cursor=abc', 'cursor=%00', `cursor=${'a'.repeat(257)}`, 'limit=5&limit=5']],
    ['/prompts', ['from=', 'from=today', 'from=2027-01-01', 'to=2027-01-01T00:00:00', 'to=2027-02-30T00:00:00Z']],
    ['/prompts', ['status=', 'status=done', 'status=failed,queued', 'status=failed&status=queued', 'model=']],
    ['/prompts', ['q=', 'q=%00', `q=${'a'.repeat(1_001)}`, 'userId=bob', 'minPosition=-1', 'minPosition=x']],
    ['/prompts', ['nope=1', '__proto__=1', 'constructor=1', '=1', 'Limit=1', 'limit[]=1', 'limit%00=1']],
    [`/prompts/${NONE}`, ['wait=61', 'wait=-1', 'wait=abc', 'wait=', 'wait=true', 'wait=NaN', 'wait=1&wait=1']],
    [`/prompts/${NONE}`, ['minPosition=1.5', 'minPosition=9007199254740993', 'verbose=1', 'limit=1']],
    [`/prompts/${NONE}/events`, ['minPosition=-1', 'limit=1', 'after=1']],
    [
      '/stats/users',
      ['from=x', 'userId=', 'limit=0', 'limit=10001', 'asOf=x', 'bucket=day', 'emulated=no', 'model=a&model=b'],
    ],
    ['/stats/usage', ['bucket=week', 'bucket=', 'groupBy=prompt', 'bucket=day&bucket=day']],
    ['/stats/latency', ['to=x', 'minPosition=x', 'groupBy=model']],
    ['/stats/models', ['share=1', 'from=2027-13-01T00:00:00Z']],
    ['/ledger', ['limit=0', 'limit=1001', 'cursor=', 'cursor=%00', 'state=paid', 'promptId=x', 'from=x', 'userId=bob']],
    ['/live/events', ['after=-1', 'after=x', 'after=1.5', 'deltas=1', 'after=1&after=2']],
  ];
  for (const [path, queries] of cases) {
    for (const query of queries) {
      test(`(${path.replace(NONE, '…')}?${query.slice(0, 40)}) is 400, and the fault names the parameter`, async () => {
        const answer = await get(`${path}?${query}`);
        assert.deepEqual([answer.status, answer.body.code], [400, 'invalid_request'], told(answer));
        const name = decodeURIComponent(/^([^=]*)/.exec(query)?.[1] ?? '');
        assert.deepEqual(pointers(answer), [`?${name}`], told(answer));
      });
    }
  }

  test('with many faults has them told at once', async () => {
    const answer = await get('/prompts?limit=0&from=x&status=y&nope=1&conversationId=z');
    assert.deepEqual(pointers(answer), ['?conversationId', '?from', '?limit', '?nope', '?status']);
  });

  test('of a parameter that the route does not know is 400 wherever there is a key to show', async () => {
    for (const [method, path] of [
      ['GET', '/models?nope=1'],
      ['POST', '/live/tickets?nope=1'],
      ['POST', `/prompts/${NONE}/cancel?nope=1`],
      ['POST', '/prompts/retry?nope=1'],
    ] as const) {
      assert.equal((await probe.send(method, path)).status, 400, path);
    }
    const asked = await probe.send('POST', '/ask?nope=1', {
      body: '{',
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(asked.status, 400);
  });

  test('writes its numbers in digits: nothing is coerced', async () => {
    for (const limit of ['0x10', '1e1', '%205', '5%20', '+5', '0b11']) {
      assert.equal((await get(`/prompts?limit=${limit}`)).status, 400, limit);
    }
    assert.equal((await get(`/prompts/${NONE}?wait=0x1`)).status, 400);
  });

  test('of a cursor that was tampered with is 400', async () => {
    await probe.fields({});
    const { body } = await probe.fields({});
    const page = JSON.parse((await get(`/prompts?limit=1&minPosition=${body.position}`)).text) as {
      nextCursor: string;
    };
    const cursor = page.nextCursor;
    assert.equal((await get(`/prompts?cursor=${cursor}`)).status, 200);
    const inside = Buffer.from(cursor, 'base64url').toString();
    const forged = [`${inside} `, inside.replace('Z', 'z'), inside.replace(' ', "' "), `${inside};--`, inside.slice(1)];
    const far = inside.replace(/^\S+/, '+010000-01-01T00:00:00.000Z');
    for (const text of [...forged, far, inside.split(' ')[0]!]) {
      const answer = await get(`/prompts?cursor=${Buffer.from(text).toString('base64url')}`);
      assert.equal(answer.status, 400, `${text} ${told(answer)}`);
    }
    for (const padded of [`${cursor}=`, `${cursor}%0A`, ` ${cursor}`]) {
      assert.equal((await get(`/prompts?cursor=${encodeURIComponent(padded)}`)).status, 400, padded);
    }
  });

  test('at its limits is answered', async () => {
    const { body } = await probe.fields({});
    const own = `/prompts/${body.id}`;
    const paths = ['/prompts?limit=1', '/prompts?limit=200', `${own}?wait=0`, `${own}?wait=60`, `${own}?wait=0.5`];
    for (const path of [...paths, '/prompts?from=0000-01-01T00:00:00Z&to=9999-12-31T23:59:59.999999-23:59']) {
      assert.equal((await get(path)).status, 200, path);
    }
  });
});

describe('cancel and retry', () => {
  const json = { 'content-type': 'application/json' };
  const junk: [body: string, headers: Record<string, string>, status: number][] = [
    ['{"x":1}', json, 400],
    ['[]', json, 400],
    ['"now"', json, 400],
    ['0', json, 400],
    ['{', json, 400],
    ['{"reason":5}', json, 400],
    ['{"reason":""}', json, 400],
    ['{"reason":"a\\u0000"}', json, 400],
    ['{"__proto__":{}}', json, 400],
    ['{}', { 'content-type': 'text/plain' }, 415],
    ['{}', { ...json, 'content-encoding': 'gzip' }, 415],
  ];
  const noBody = [{}, { headers: json }, { body: '{}', headers: json }, { body: 'null', headers: json }];

  test('do nothing when their body is junk, and what they are for without one, or with an empty one', async () => {
    for (const sent of noBody) {
      const later = new Date(Date.now() + 3_600_000).toISOString();
      const waiting = (await probe.fields({ notBefore: later })).body.id;
      const failed = (await probe.ask('{"prompt":"x [[emulate {\\"fault\\":\\"safety\\"}]]"}')).body.id;
      const status = async (id = '') =>
        (JSON.parse((await get(`/prompts/${id}?wait=0`)).text) as Answer['body']).status;
      await get(`/prompts/${failed}?wait=10`);
      assert.deepEqual([await status(waiting), await status(failed)], ['queued', 'failed']);
      for (const [body, headers, expected] of junk) {
        const cancel = await probe.send('POST', `/prompts/${waiting}/cancel`, { body, headers });
        const retry = await probe.send('POST', `/prompts/${failed}/retry`, { body, headers });
        assert.deepEqual([cancel.status, retry.status], [expected, expected], `${body} ${told(cancel)} ${told(retry)}`);
      }
      assert.deepEqual([await status(waiting), await status(failed)], ['queued', 'failed']);
      const cancelled = await probe.send('POST', `/prompts/${waiting}/cancel`, sent);
      assert.deepEqual([cancelled.status, cancelled.body.id], [202, waiting], told(cancelled));
      const retried = await probe.send('POST', `/prompts/${failed}/retry`, sent);
      assert.deepEqual([retried.status, retried.body.id], [202, failed], told(retried));
      const again = await probe.send('POST', `/prompts/${waiting}/cancel`, sent);
      assert.deepEqual([again.status, again.body.code], [409, 'wrong_state']);
      const other = await probe.send('POST', `/prompts/${waiting}/retry`, sent);
      assert.deepEqual([other.status, other.body.code], [409, 'wrong_state']);
    }
  });
});

test('after all of it the log holds what was accepted, and every prompt of it has ended', async () => {
  assert.ok(probe.accepted.ids.length > 8 && probe.accepted.changes === 8);
  await probe.settle();
});
