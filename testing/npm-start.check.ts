/** The embedded stack as its user meets it: killed in every way, and given what cannot be. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createClient } from '../client/client.ts';
import { readStackFile } from '../platform/config/stack-file.ts';
import { type Embedded, killServers, startEmbedded, startedEmbedded } from './kit/embedded.ts';
import { until } from './kit/until.ts';

const parent = mkdtempSync(join(tmpdir(), 'orchestrator-embedded-'));
const dataDir = join(parent, 'data');
let stack: Embedded;

const start = (env: Record<string, string> = {}) => startedEmbedded({ dataDir, env });
const clientOf = ({ address, apiKey }: Embedded) => createClient({ baseUrl: address, apiKey });

before(async () => {
  stack = await start();
});
after(async () => {
  await stack.end('SIGINT');
  rmSync(parent, { recursive: true, force: true });
});

describe('kill -9', () => {
  test('of the stack in the middle of a call: the attempt is lost, the prompt is not, its cost is unknown with a bound', async () => {
    const { id } = await clientOf(stack).ask({ prompt: 'slow [[emulate {"delayMs":3000}]]' });
    await until('the attempt has started', async () => (await clientOf(stack).prompt(id)).status === 'running');
    await stack.end('SIGKILL');
    stack = await start();
    const prompt = await clientOf(stack).prompt(id, { wait: 30 });
    assert.deepEqual([prompt.status, prompt.attempts], ['completed', 2]);
    const { data } = await clientOf(stack).stats<{
      cost: { unknownBound: { nanoUsd: number }; wasted: { nanoUsd: number } };
    }>('users');
    assert.ok((data[0]?.cost.unknownBound.nanoUsd ?? 0) > 0);
    assert.equal(data[0]?.cost.wasted.nanoUsd, 0);
  });

  test('with retry never: the provider is not called again, and the prompt says why it ended', async () => {
    await stack.end('SIGINT');
    stack = await start({ CALL_TIMEOUT_SECONDS: '2' });
    const { id } = await clientOf(stack).ask({ prompt: 'once [[emulate {"delayMs":1500}]]', retry: 'never' });
    await until('the attempt has started', async () => (await clientOf(stack).prompt(id)).status === 'running');
    await stack.end('SIGKILL');
    stack = await start({ CALL_TIMEOUT_SECONDS: '2' });
    const prompt = await clientOf(stack).prompt(id, { wait: 30 });
    assert.deepEqual([prompt.status, prompt.error?.code, prompt.attempts], ['failed', 'outcome_unknown', 1]);
  });

  test('of everything at once, servers too, under load: nothing accepted is lost, each ends once', async () => {
    const client = clientOf(stack);
    const accepted: string[] = [];
    const asking = Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let i = 0; i < 40; i += 1) {
          try {
            accepted.push((await client.ask({ prompt: `load ${i} [[emulate {"delayMs":${i % 50}}]]` })).id);
          } catch {
            return; // the stack is gone: nothing was acknowledged
          }
        }
      }),
    );
    await until('a hundred are accepted', () => accepted.length >= 100);
    stack.child.kill('SIGKILL');
    killServers(dataDir);
    await asking;
    stack = await start();
    for (const id of accepted) {
      const prompt = await clientOf(stack).prompt(id, { wait: 40 });
      assert.equal(prompt.status, 'completed', id);
    }
    const timelines = await Promise.all(accepted.map((id) => timelineOf(id)));
    assert.ok(timelines.every((types) => types.filter((type) => type === 'PromptCompleted').length === 1));
  });

  async function timelineOf(id: string): Promise<string[]> {
    const response = await fetch(`${stack.address}/prompts/${id}/events`, {
      headers: { authorization: `Bearer ${stack.apiKey}` },
    });
    return ((await response.json()) as { data: { type: string }[] }).data.map(({ type }) => type);
  }
});

describe('a start', () => {
  test('with everything wrong tells it at once, also of a data folder that cannot be made', async () => {
    const env = {
      PORT: 'eighty',
      PRICES_FILE: '/nowhere/prices.json',
      MODELS: 'gpt-9',
      SPOOL_DIR: import.meta.filename,
    };
    const wrong = await startEmbedded({ dataDir: '/proc/none', env });
    assert.ok('exitCode' in wrong);
    const [head, ...lines] = wrong.said.trim().split('\n');
    assert.deepEqual([wrong.exitCode, head], [1, 'The configuration is not valid:'], wrong.said);
    const names = lines.map((line) => line.trim().split(':')[0]).sort();
    assert.deepEqual(names, ['DATA_DIR', 'MODELS', 'PORT', 'PRICES_FILE', 'SPOOL_DIR'], wrong.said);
  });

  test('with a database that is not there, or an address that is nobody’s, says which', async () => {
    const other = join(parent, 'wrong');
    const uri = 'postgres://ada:hunter2@127.0.0.1:9/x';
    const unreachable = await startEmbedded({ dataDir: other, env: { POSTGRES_URI: uri } });
    assert.ok('exitCode' in unreachable);
    assert.equal(
      unreachable.said.trim(),
      'PostgreSQL at 127.0.0.1:9 cannot be reached (ECONNREFUSED): is POSTGRES_URI right?',
    );
    const missing = new URL(readStackFile(dataDir)!.postgresUri);
    missing.pathname = '/elsewhere';
    const refused = await startEmbedded({ dataDir: other, env: { POSTGRES_URI: missing.href } });
    assert.ok('exitCode' in refused);
    assert.match(refused.said, /^PostgreSQL refuses the login of POSTGRES_URI: database "elsewhere" does not exist/);
    // Of a network for documentation: no machine has it.
    const elsewhere = await startEmbedded({ dataDir: other, env: { HOST: '192.0.2.1' } });
    assert.ok('exitCode' in elsewhere);
    assert.match(elsewhere.said, /^Nobody can listen on 192\.0\.2\.1, port 0 \(EADDRNOTAVAIL\): set HOST and PORT/m);
  });
});
