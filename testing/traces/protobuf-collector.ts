/** Collectors that are sent protobuf, over HTTP or gRPC. They keep its bytes: every name stands in them as it is. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import type { After } from '../kit/database.ts';

export type ProtobufCollector = {
  /** host:port */
  address: string;
  requests: { path: string; contentType: string; bytes: Buffer }[];
};

const overHttp = (requests: ProtobufCollector['requests']): Server =>
  createServer(async (request, response) => {
    const bytes = Buffer.concat(await request.toArray());
    requests.push({ path: request.url ?? '', contentType: request.headers['content-type'] ?? '', bytes });
    response.setHeader('content-type', 'application/x-protobuf').end();
  });

function overGrpc(requests: ProtobufCollector['requests']): Server {
  const server = createHttp2Server();
  server.on('stream', async (stream, headers) => {
    const bytes = Buffer.concat(await stream.toArray());
    requests.push({ path: String(headers[':path']), contentType: String(headers['content-type']), bytes });
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(Buffer.alloc(5)); // not compressed, no bytes: nothing was refused
  });
  return server;
}

export async function startProtobufCollector(t: After, protocol: 'http/protobuf' | 'grpc'): Promise<ProtobufCollector> {
  const requests: ProtobufCollector['requests'] = [];
  const server = protocol === 'grpc' ? overGrpc(requests) : overHttp(requests);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => void server.close());
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}
