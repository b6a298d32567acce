/** What of a body reaches the log, and what is said of the rest: text, numbers, types of content, sizes. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { cleanup } from '../kit/cleanup.ts';
import { startTestStack, type TestStack } from '../kit/stack.ts';
import { createProbe, type Probe, pointers } from './http-edges-probe.ts';

const t = cleanup(after);
let stack: TestStack;
let probe: Probe;
before(async () => {
  stack = await startTestStack(t, { env: { RETRY_BASE_SECONDS: '0.05', RETRY_CAP_SECONDS: '0.1' } });
  probe = createProbe(stack, await stack.key('ada'));
});

/** Refused, with the faults at these pointers and no others. */
async function refused(body: string, at: string[]): Promise<void> {
  const answer = await probe.ask(body);
  assert.equal(answer.status, 400, `${body.slice(0, 200)} ${answer.text}`);
  assert.equal(answer.body.code, 'invalid_request');
  assert.deepEqual(pointers(answer), at, answer.text);
}
const taken = async (body: string, headers: Record<string, string> = {}) => {
  const answer = await probe.ask(body, headers);
  assert.equal(answer.status, 202, `${body.slice(0, 200)} ${answer.text}`);
  return answer;
};

describe('text', () => {
  const hostile = { 'U+0000': '\\u0000', 'a lone high surrogate': '\\ud800', 'a lone low surrogate': '\\udfff' };
  const fields = ['prompt', 'system', 'model', 'mode', 'lane', 'retry', 'conversationId', 'notBefore', 'expiresAt'];
  for (const [name, escaped] of Object.entries(hostile)) {
    test(`with ${name} is refused in every field, key and value, wherever it stands`, async () => {
      for (const field of fields) {
        for (const value of [escaped, `a${escaped}`, `${escaped}b`]) {
          const rest = field === 'prompt' ? '' : ', "prompt": "x"';
          await refused(`{ "${field}": "${value}"${rest} }`, [`/${field}`]);
        }
      }
      const shown = JSON.parse(`"${escaped}"`).toWellFormed();
      await refused(`{ "prompt": "x", "metadata": { "k": "${escaped}" } }`, ['/metadata/k']);
      await refused(`{ "prompt": "x", "metadata": { "k${escaped}": "v" } }`, [`/metadata/k${shown}`]);
      await refused(`{ "prompt": "x", "k${escaped}": "v" }`, [`/k${shown}`]);
    });
  }

  test('that is no Unicode in its raw bytes is refused', async () => {
    const around = (bytes: number[]) => new Uint8Array([...Buffer.from('{"prompt":"'), ...bytes, 0x22, 0x7d]);
    // A surrogate written as UTF-8, an overlong slash, a code point after the last, a cut sequence, a bare NUL.
    for (const bytes of [[0xed, 0xa0, 0x80], [0xc0, 0xaf], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0]]) {
      const answer = await probe.ask(around(bytes));
      assert.equal(answer.status, 400, `${bytes} ${answer.text}`);
    }
    await refused('\ufeff{"prompt":"x"}', ['']);
  });

  test('of brackets, quotes and backslashes is text, however deep it looks', async () => {
    for (const prompt of [
      '['.repeat(500),
      `\\"${'{'.repeat(500)}`,
      `${'\\'.repeat(7)}"${'['.repeat(500)}`,
      '\\u0000',
    ]) {
      const { body } = await taken(JSON.stringify({ prompt, metadata: { quote: '"', slash: '\\' } }));
      const stored = JSON.parse((await probe.send('GET', `/prompts/${body.id}`)).text) as { prompt: string };
      assert.equal(stored.prompt, prompt);
    }
  });

  test('is measured in code points, also outside of the prompt', async () => {
    await refused(JSON.stringify({ prompt: '😀'.repeat(100_001) }), ['/prompt']);
    await refused(JSON.stringify({ prompt: 'x', system: '😀'.repeat(100_001) }), ['/system']);
    await taken(JSON.stringify({ prompt: 'x', system: '😀'.repeat(100_000) }));
    await taken(JSON.stringify({ prompt: 'x', metadata: { k: '😀'.repeat(1_024) } }));
    await refused(JSON.stringify({ prompt: 'x', metadata: { k: '😀'.repeat(1_025) } }), ['/metadata/k']);
  });
});

describe('names of fields', () => {
  test('that reach a prototype are refused at any depth and in any spelling', async () => {
    for (const name of ['__proto__', 'constructor', 'prototype', '__pr\\u006fto__', 'c\\u006fnstructor']) {
      const plain = JSON.parse(`"${name}"`) as string;
      await refused(`{"prompt":"x","${name}":"v"}`, [`/${plain}`]);
      await refused(`{"prompt":"x","metadata":{"${name}":"v"}}`, [`/metadata/${plain}`]);
      await refused(`{"prompt":"x","metadata":{"a":{"${name}":{}}}}`, [`/metadata/a/${plain}`]);
    }
  });

  test('that are only inherited are unknown ones, or plain keys of metadata', async () => {
    await refused('{"prompt":"x","toString":"v","hasOwnProperty":"v"}', ['/hasOwnProperty', '/toString']);
    const { body } = await taken('{"prompt":"x","metadata":{"toString":"v"}}');
    const stored = JSON.parse((await probe.send('GET', `/prompts/${body.id}`)).text) as { metadata: object };
    assert.deepEqual(stored.metadata, { toString: 'v' });
  });

  test('are escaped in pointers', () => refused('{"prompt":"x","a/b~c":1}', ['/a~1b~0c']));

  test('given twice are refused: one of the values would be dropped silently', async () => {
    await refused('{"prompt":"first","prompt":"second"}', ['/prompt']);
    await refused('{"prompt":"x","metadata":{"k":"1","k":"2"}}', ['/metadata/k']);
  });

  test('of the server’s making are not taken from a client', () =>
    refused('{"prompt":"x","userId":"bob","status":"completed","cost":0,"id":"1"}', [
      '/cost',
      '/id',
      '/status',
      '/userId',
    ]));
});

describe('metadata', () => {
  test('holds strings only, whatever its keys are', async () => {
    for (const value of [0, true, null, ['v'], { deep: 'v' }]) {
      await refused(JSON.stringify({ prompt: 'x', metadata: { k: value } }), ['/metadata/k']);
    }
  });

  test('holds strings only, under a key with a line break too', async () => {
    for (const value of [5, { deep: [1] }, 'v'.repeat(1_025)]) {
      await refused(JSON.stringify({ prompt: 'x', metadata: { 'a\nb': value } }), ['/metadata/a\nb']);
    }
  });

  test('has keys of 1 to 64 characters', async () => {
    await taken(JSON.stringify({ prompt: 'x', metadata: { ['k'.repeat(64)]: '' } }));
    for (const key of ['', 'k'.repeat(65), 'k'.repeat(100_000)]) {
      const answer = await probe.fields({ metadata: { [key]: 'v' } });
      assert.equal(answer.status, 400, `a key of ${key.length}: ${answer.text.slice(0, 200)}`);
    }
  });
});

describe('numbers', () => {
  test('that no double holds, or no JSON knows, are refused', async () => {
    for (const number of ['1e400', '-1e400', '2.0000000000000004', '-0.0000001']) {
      await refused(`{"prompt":"x","temperature":${number}}`, ['/temperature']);
    }
    for (const number of ['1e400', '-1', '0', '0.5', '1e-400', '1000001', '9007199254740993']) {
      await refused(`{"prompt":"x","maxOutputTokens":${number}}`, ['/maxOutputTokens']);
    }
    for (const number of ['NaN', 'Infinity', '-Infinity', '+1', '01', '.5', '1.', '0x1', '1_0', '١']) {
      await refused(`{"prompt":"x","temperature":${number}}`, ['']);
    }
  });

  test('are not made from other types, nor other types from them', async () => {
    for (const value of ['"1"', '""', 'true', 'null', '[1]', '{}']) {
      await refused(`{"prompt":"x","temperature":${value},"maxOutputTokens":${value}}`, [
        '/maxOutputTokens',
        '/temperature',
      ]);
    }
    for (const value of ['1', 'true', 'null', '["x"]', '{}']) {
      await refused(`{"prompt":${value},"system":${value},"model":${value}}`, ['/model', '/prompt', '/system']);
    }
  });

  test('are taken in every spelling that JSON has', async () => {
    for (const temperature of ['0', '-0', '2', '2.0', '20e-1']) {
      await taken(`{"prompt":"x","temperature":${temperature},"maxOutputTokens":1.0e1}`);
    }
  });
});

describe('a conversation and a time', () => {
  test('named by an id in any case are taken, in another form are not', async () => {
    const id = '019AAF00-0000-7000-8000-00000000000A';
    const { body } = await taken(JSON.stringify({ prompt: 'x', conversationId: id }));
    const { text } = await probe.send(
      'GET',
      `/prompts?conversationId=${id.toLowerCase()}&minPosition=${body.position}`,
    );
    assert.deepEqual(
      (JSON.parse(text) as { data: { id: string }[] }).data.map((prompt) => prompt.id),
      [body.id],
    );
    for (const form of [`{${id}}`, id.replaceAll('-', ''), `${id}0`, ` ${id}`]) {
      await refused(JSON.stringify({ prompt: 'x', conversationId: form }), ['/conversationId']);
    }
  });

  test('named by a URN are refused: no UUID of Postgres is written so', () =>
    refused(JSON.stringify({ prompt: 'x', conversationId: 'urn:uuid:019aaf00-0000-7000-8000-00000000000a' }), [
      '/conversationId',
    ]));

  test('written otherwise than in RFC 3339 are refused', async () => {
    const times = ['2020-01-01T00:00Z', '2020-01-01T24:00:00Z', '1577836800', 'now', '2020-01-01T00:00:00+05', ''];
    for (const notBefore of times) await refused(JSON.stringify({ prompt: 'x', notBefore }), ['/notBefore']);
  });

  test('with blanks of any kind for the T, or an offset without a colon, are refused', async () => {
    for (const notBefore of ['2020-01-01\n00:00:00Z', '2020-01-01\u00a000:00:00Z', '2020-01-01T00:00:00+0530']) {
      await refused(JSON.stringify({ prompt: 'x', notBefore }), ['/notBefore']);
    }
  });
});

describe('faults', () => {
  test('are told all at once: what is missing, unknown, out of bounds and of the wrong type', async () => {
    const body = { system: 5, temperature: 9, maxOutputTokens: 0, lane: 'x', retry: 'x', mode: 'x', nonsense: 1 };
    await refused(JSON.stringify({ ...body, conversationId: 'c', notBefore: 'n', metadata: { a: 1, b: 2 } }), [
      '/conversationId',
      '/lane',
      '/maxOutputTokens',
      '/metadata/a',
      '/metadata/b',
      '/mode',
      '/nonsense',
      '/notBefore',
      '/prompt',
      '/retry',
      '/system',
      '/temperature',
    ]);
    await refused(
      JSON.stringify({ prompt: 'x', notBefore: '2300-01-01T00:00:00Z', expiresAt: '2020-01-01T00:00:00Z' }),
      ['/expiresAt', '/notBefore'],
    );
  });

  test('without number are told in a bounded answer', async () => {
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`f${i}`, i]));
    const answer = await probe.fields(many);
    assert.equal(answer.status, 400);
    assert.equal(answer.body.errors?.length, 50);
  });
});

describe('the type of content', () => {
  const body = '{"prompt":"x"}';
  test('missing is 415, as is whatever is not application/json', async () => {
    const bytes = new TextEncoder().encode(body);
    assert.equal((await probe.send('POST', '/ask', { body: bytes })).status, 415, 'none');
    const types = [
      'text/json',
      'application/vnd.api+json',
      'application/json-seq',
      'json',
      '*/*',
      'multipart/form-data',
    ];
    for (const type of types) {
      const answer = await probe.ask(body, { 'content-type': type });
      assert.deepEqual([answer.status, answer.body.code], [415, 'unsupported_media_type'], type);
    }
  });

  test('in another charset, or compressed, is 415, even where the bytes are what was said', async () => {
    for (const charset of ['iso-8859-1', 'utf-16le', '"UTF-16"', 'utf-7']) {
      const type = `application/json; charset=${charset}`;
      assert.equal((await probe.ask(body, { 'content-type': type })).status, 415, charset);
    }
    const compressed = await probe.ask(new Uint8Array(gzipSync(body)), { 'content-encoding': 'gzip' });
    assert.equal(compressed.status, 415);
    for (const encoding of ['br', 'deflate', 'gzip, identity', 'nonsense']) {
      assert.equal((await probe.ask(body, { 'content-encoding': encoding })).status, 415, encoding);
    }
    await taken(body, { 'content-type': 'application/json; charset="UTF-8"', 'content-encoding': 'identity' });
  });
});

describe('a body', () => {
  const padded = (bytes: number) => '{"prompt":"x"}'.padEnd(bytes, ' ');
  const chunked = (text: string) => new Blob([text]).stream();

  test('of 2 MB is taken, of one byte more is 413, announced or in chunks', async () => {
    await taken(padded(2_000_000));
    assert.equal((await probe.ask(chunked(padded(2_000_000)))).status, 202);
    for (const body of [padded(2_000_001), chunked(padded(2_000_001))]) {
      const answer = await probe.ask(body);
      assert.deepEqual([answer.status, answer.body.code], [413, 'payload_too_large']);
    }
  });

  test('of 2 MB that is hostile is refused in a moment', async () => {
    const began = performance.now();
    const nested = `{"prompt":${'['.repeat(900_000)}${']'.repeat(900_000)}}`;
    const escapes = `{"prompt":"x","system":"${'\\ud800'.repeat(330_000)}"}`;
    const slashes = `{"prompt":"${'\\"'.repeat(990_000)}"}`;
    for (const body of [nested, escapes, slashes, `"${'\\'.repeat(1_900_000)}`]) {
      assert.equal((await probe.ask(body)).status, 400);
    }
    assert.ok(performance.now() - began < 4_000, `${performance.now() - began} ms`);
  });
});

test('after all of it the log holds what was accepted, and every prompt of it has ended', async () => {
  assert.ok(probe.accepted.ids.length > 15);
  await probe.settle();
});
