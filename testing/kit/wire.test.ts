import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { cleanup } from './cleanup.ts';
import { until } from './until.ts';
import { openWire } from './wire.ts';

const t = cleanup(after);

test('what is late keeps its order, however often the wire is slowed and mended', async () => {
  const echo = createServer((socket) => {
    socket.on('error', () => {}); // the client leaves at the end
    socket.pipe(socket);
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  t.after(async () => void echo.close());
  const wire = await openWire(`tcp://127.0.0.1:${(echo.address() as AddressInfo).port}`);
  t.after(wire.close);
  const client = connect(wire.port, '127.0.0.1');
  t.after(async () => void client.destroy());
  client.setNoDelay(true);
  await once(client, 'connect');
  let [sent, got] = ['', ''];
  client.on('data', (piece) => {
    got += piece;
  });
  for (let i = 0; i < 200; i += 1) {
    if (i % 7 === 0) wire.delay(10 + (i % 5));
    if (i % 7 === 4) wire.mend();
    const word = `${i} `;
    sent += word;
    client.write(word);
    await (i % 3 === 0 ? pause(1) : turn());
  }
  await until('all of it came back', () => got.length === sent.length);
  assert.equal(got, sent);
});
