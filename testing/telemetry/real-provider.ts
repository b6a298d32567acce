/** The emulator without the mark that its answers bear: what it says is taken for a provider's, and costs for real. */
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { After } from '../kit/database.ts';

const unmarked = (said: string): string => said.replaceAll('-emulated', '').replaceAll(' (emulated)', '');

/** Its address; ended with `t`. */
export async function startRealProvider(t: After, emulator: string): Promise<string> {
  const server = createServer((asked, answer) => {
    const { method, headers } = asked;
    const sent = request(new URL(asked.url ?? '/', emulator), { method, headers }, (answered) => {
      text(answered).then(
        (said) => {
          const { 'content-type': type = 'application/json' } = answered.headers;
          answer.writeHead(answered.statusCode ?? 502, { 'content-type': type }).end(unmarked(said));
        },
        () => answer.destroy(),
      );
    });
    sent.on('error', () => answer.destroy());
    // Whoever hangs up does so at the emulator too.
    answer.on('close', () => sent.destroy());
    asked.pipe(sent);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
