import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CallbackEndpoint, CONTENT_TYPE, MessageVerifier, SIGNATURE_HEADER } from '../../lib/http/index.js';
import { encodeDelivery } from '../../lib/http/protocol.js';
import { serve } from '../../lib/http/serve.js';
import type { DeliveryReply } from '../../lib/ports/index.js';
import { delivery, FakeHandler, keys, Signal, signer } from './support.js';

const sign = signer();
let handler: FakeHandler;
let endpoint: CallbackEndpoint;

beforeEach(() => {
  handler = new FakeHandler();
  endpoint = new CallbackEndpoint(handler, new MessageVerifier(keys()), { instance: 'i1' });
});

describe('over a socket', () => {
  let server: Server;
  let socket: Socket;
  let served: Signal;

  beforeEach(async () => {
    served = new Signal();
    server = createServer(
      (request, response) => void serve(endpoint, request, response).then(served.resolve),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(socket, 'connect');
  });
  afterEach(async () => {
    socket.destroy();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  const head = (length: string): string =>
    `POST /workflow/deliver HTTP/1.1\r\nhost: x\r\ncontent-type: ${CONTENT_TYPE}\r\n${length}\r\n\r\n`;
  async function answered(): Promise<string> {
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    return text;
  }

  it('a half-sent body is answered 408 and its connection closed', async () => {
    endpoint = new CallbackEndpoint(handler, new MessageVerifier(keys()), {
      instance: 'i1',
      bodyTimeoutMs: 100,
    });
    socket.write(`${head('content-length: 100')}{"half":`);
    expect(await answered()).toMatch(/^HTTP\/1.1 408 .*connection: close.*not complete after 100 ms/is);
  });

  it('an announced length over the limit is answered 413 before it comes', async () => {
    socket.write(head('content-length: 65537'));
    expect(await answered()).toMatch(/^HTTP\/1.1 413 .*connection: close/is);
  });

  it('a length over the limit that is not announced is answered 413', async () => {
    socket.write(`${head('transfer-encoding: chunked')}10001\r\n${'x'.repeat(0x10001)}`);
    expect(await answered()).toMatch(/^HTTP\/1.1 413 /);
  });

  it('a sender that hangs up is forgotten', async () => {
    const arrived = once(server, 'request');
    socket.write(`${head('content-length: 100')}{"half":`);
    await arrived;
    socket.destroy();
    await served.promise;
    expect(handler.calls).toEqual([]);
  });

  it('a sender that hangs up while its delivery executes does not disturb it', async () => {
    const [started, goOn] = [new Signal(), new Signal<DeliveryReply>()];
    handler.answer = () => {
      started.resolve();
      return goOn.promise;
    };
    const body = encodeDelivery(delivery);
    const signature = sign.sign('delivery', body);
    socket.write(
      head(`content-length: ${body.length}\r\n${SIGNATURE_HEADER}: ${signature}`) + body.toString(),
    );
    await started.promise;
    socket.destroy();
    goOn.resolve({ next: 'waiting' });
    await served.promise;
    expect(handler.calls).toEqual([delivery]);
  });
});
