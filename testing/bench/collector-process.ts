/** A collector that takes all and keeps nothing; `GET /` tells how often it was sent something, and how many bytes. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

let exports = 0;
let bytes = 0;
const server = createServer((request, response) => {
  if (request.method === 'GET') {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ exports, bytes }));
    return;
  }
  exports += 1;
  request.on('data', (piece: Buffer) => {
    bytes += piece.length;
  });
  request.on('end', () => response.setHeader('content-type', 'application/json').end('{}'));
});
server.listen(0, '127.0.0.1', () => console.log(`collecting on ${(server.address() as AddressInfo).port}.`));
process.on('SIGTERM', () => process.exit(0));
