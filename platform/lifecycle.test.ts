import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { createLifecycle } from './lifecycle.ts';

const quiet = { info: () => {}, warn: () => {}, error: () => {} };

describe('a stop', () => {
  test('releases in reverse, once, and a failing part does not keep the others', async () => {
    const released: string[] = [];
    const faults: object[] = [];
    const lifecycle = createLifecycle({ graceSeconds: 5, logger: { ...quiet, error: (fault) => faults.push(fault) } });
    lifecycle.push('pool', () => released.push('pool'));
    lifecycle.push('broken', () => {
      throw new Error('no');
    });
    lifecycle.push('http', async () => released.push('http'));
    assert.deepEqual(await Promise.all([lifecycle.stop(), lifecycle.stop()]), [['broken'], ['broken']]);
    assert.deepEqual(released, ['http', 'pool']);
    assert.deepEqual(
      faults.map((fault) => (fault as { part: string }).part),
      ['broken'],
    );
  });

  test('goes on after its grace when a part never ends', async () => {
    const released: string[] = [];
    const lifecycle = createLifecycle({ graceSeconds: 0.05, logger: quiet });
    lifecycle.push('last', () => released.push('last'));
    lifecycle.push('stuck', () => new Promise(() => {}));
    assert.deepEqual(await lifecycle.stop(), ['stuck']);
    assert.deepEqual(released, ['last']);
  });
});

describe('what is opened', () => {
  test('while a stop is under way is released by it', async () => {
    const released: string[] = [];
    const lifecycle = createLifecycle({ graceSeconds: 5, logger: quiet });
    lifecycle.push('first', async () => {
      lifecycle.push('late', () => released.push('late'));
      released.push('first');
    });
    assert.deepEqual(await lifecycle.stop(), []);
    assert.deepEqual(released, ['first', 'late']);
  });

  test('after a stop is released at once', async () => {
    const lifecycle = createLifecycle({ graceSeconds: 5, logger: quiet });
    await lifecycle.stop();
    let isReleased = false;
    lifecycle.push('late', () => {
      isReleased = true;
    });
    assert.ok(isReleased);
  });
});

describe('a process', () => {
  const program = (graceSeconds: number) => `
    import { createLifecycle, stopOnSignal } from ${JSON.stringify(new URL('lifecycle.ts', import.meta.url).href)};
    const logger = { info() {}, warn() {}, error() {} };
    const lifecycle = createLifecycle({ graceSeconds: ${graceSeconds}, logger });
    lifecycle.push('work', () => new Promise((resolve) => process.once('message', resolve)));
    stopOnSignal(lifecycle, logger, () => process.send('stopping'));
    setInterval(() => {}, 1_000); // what a service's sockets do: it does not end by itself
    process.send('ready');
  `;
  const start = async (graceSeconds = 30) => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program(graceSeconds)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    await once(child, 'message');
    return child;
  };

  test('ends with 0 after a signal, when its work is done', async () => {
    const child = await start();
    child.kill('SIGTERM');
    await once(child, 'message');
    child.kill('SIGINT'); // the same Ctrl-C, passed on by whoever started it
    child.send('done');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  test('ends with 1 when a part of it was not done within its grace', async () => {
    const child = await start(0.05);
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [1, null]);
  });

  test('ends at once after a second signal a while later', async () => {
    const child = await start();
    child.kill('SIGTERM');
    await once(child, 'message');
    let sent = 0;
    const again = setInterval(() => {
      sent += 1;
      child.kill('SIGTERM');
    }, 300);
    const [code] = await once(child, 'exit');
    clearInterval(again);
    assert.equal(code, 130);
    assert.ok(sent <= 3, `it took ${sent} more`);
  });
});
