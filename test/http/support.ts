import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import type { CallbackTarget } from '../../lib/http/index.js';
import { createSigningKeys, MessageSigner, type SigningKeys } from '../../lib/http/index.js';
import { DeliveryHandler, type Delivery, type DeliveryReply } from '../../lib/ports/index.js';

export const KEY = 'a-signing-key-for-tests-of-32-or-more-characters';
export const keys = (): SigningKeys => createSigningKeys({ signingKey: KEY });
export const signer = (): MessageSigner => new MessageSigner(keys());

export const delivery: Delivery = {
  workflow: 'fulfil-order',
  version: null,
  runId: 'order-7',
  taskId: '9223372036854775807',
  fence: 3,
  seq: 12,
};

/** Remembers what it was called with and answers what the test says. */
export class FakeHandler extends DeliveryHandler {
  readonly calls: Delivery[] = [];
  answer: (delivery: Delivery) => Promise<DeliveryReply> = ({ seq }) =>
    Promise.resolve({ next: 'continue', seq: seq + 1 });

  handle(received: Delivery): Promise<DeliveryReply> {
    this.calls.push(received);
    return this.answer(received);
  }
}

/** A promise and its ends: what tests wait for instead of sleeping. */
export class Signal<T = void> {
  resolve!: (value: T) => void;
  readonly promise = new Promise<T>((resolve) => (this.resolve = resolve));
}

/** A server that speaks bytes, so that it can misbehave; closed with all its sockets. */
export class RawServer {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  /** sockets accepted so far */
  accepted = 0;

  constructor(onSocket: (socket: Socket, index: number) => void) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
      onSocket(socket, this.accepted++);
    });
  }

  async listen(): Promise<CallbackTarget> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return { url: new URL(`http://127.0.0.1:${address.port}/workflow/deliver`) };
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** Calls back with each request once it is complete (these requests all have a content-length). */
export function onRequest(socket: Socket, answer: (request: string) => void): void {
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    const end = text.indexOf('\r\n\r\n');
    if (end < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
    if (text.length < end + 4 + length) return;
    const request = text;
    text = '';
    answer(request);
  });
}

export function httpResponse(status: number, body: string, headers: Record<string, string> = {}): string {
  const all = { 'content-length': String(Buffer.byteLength(body)), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Whatever\r\n${lines.join('')}\r\n${body}`;
}
