import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach } from 'vitest';
import {
  CallbackEndpoint,
  HttpTransport,
  MessageVerifier,
  ownTarget,
  PROTOCOL_HEADER,
  type CallbackTarget,
} from '../../lib/http/index.js';
import { addressOf } from '../../lib/http/own-address.js';
import { serve } from '../../lib/http/serve.js';
import { DeliveryError } from '../../lib/ports/index.js';
import { delivery, FakeHandler, keys, onRequest, RawServer, signer } from './support.js';

/** What a test has opened; ended after it, the last first. */
export const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end();
});

export function transportTo(target: CallbackTarget | undefined, connections?: number): HttpTransport {
  const options = { signer: signer(), connections, connectTimeoutMs: 20_000, pingTimeoutMs: 20_000 };
  const transport = new HttpTransport({ ...options, target: () => target });
  cleanup.push(() => transport.close());
  return transport;
}
export async function rawServer(
  onSocket: (socket: Socket, index: number) => void,
): Promise<RawServer & { target: CallbackTarget }> {
  const server = new RawServer(onSocket);
  const target = await server.listen();
  cleanup.push(() => server.close());
  return Object.assign(server, { target });
}
export const answering = (response: string) =>
  rawServer((socket) => onRequest(socket, () => socket.write(response)));
export const ours = { [PROTOCOL_HEADER]: '1', 'content-type': 'application/json' };

export async function fateOf(transport: HttpTransport): Promise<DeliveryError> {
  const error: unknown = await transport.deliver(delivery).then(
    () => new Error('was delivered'),
    (e: unknown) => e,
  );
  if (error instanceof DeliveryError) return error;
  throw error;
}

/** A real endpoint behind node:http. */
export async function endpoint(
  handler: FakeHandler,
  listen: (server: Server) => void,
  server = createServer(),
): Promise<Server> {
  const callback = new CallbackEndpoint(handler, new MessageVerifier(keys()), { instance: 'i1' });
  server.on('request', (request, response) => void serve(callback, request, response));
  listen(server);
  await once(server, 'listening');
  cleanup.push(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  );
  return server;
}
export const targetOf = (server: Server, tls = false): CallbackTarget =>
  ownTarget(addressOf(server.address(), tls)!, '', 'workflow');
