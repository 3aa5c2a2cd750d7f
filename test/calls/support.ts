import { once } from 'node:events';
import {
  createServer as createHttp,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTcp, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net';
import { afterEach } from 'vitest';
import type { CallRequest } from '../../lib/engine/call.js';
import { DEFAULT_RETRY } from '../../lib/engine/retry.js';
import { AddressGuard, CallClient, type AddressRules, type Lookup } from '../../lib/http/index.js';
import { SystemClock } from '../../lib/runtime/system-clock.js';

/** A clock whose timers fire when the test says so. */
export class ManualClock extends SystemClock {
  readonly timers = new Set<{ readonly ms: number; readonly callback: () => void }>();

  override after(ms: number, callback: () => void): () => void {
    const timer = { ms, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  /** Every timer that is set fires. */
  fire(): void {
    for (const timer of [...this.timers]) {
      this.timers.delete(timer);
      timer.callback();
    }
  }
}

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

/** Until the end of the test. */
export function keep<T extends { close(): unknown }>(one: T): T {
  open.push(one);
  return one;
}

export interface Served {
  readonly url: string;
  readonly port: number;
  /** requests in the order in which they came */
  readonly requests: { method: string; url: string; headers: IncomingMessage['headers']; body: Buffer }[];
}

/** An HTTP server on 127.0.0.1; a request is noted with its body before it is answered. */
export async function serveHttp(
  answer: (request: IncomingMessage, response: ServerResponse, body: Buffer) => void,
): Promise<Served> {
  const requests: Served['requests'] = [];
  const server: Server = createHttp((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      requests.push({ method: request.method!, url: request.url!, headers: request.headers, body });
      answer(request, response, body);
    });
  });
  return { ...(await listen(server)), requests };
}

/** A server that says what it likes. */
export async function serveTcp(
  talk: (socket: Socket) => void,
): Promise<{ url: string; port: number; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createTcp((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    talk(socket);
  });
  return { ...(await listen(server, sockets)), sockets };
}

async function listen(
  server: Server | TcpServer,
  sockets: Socket[] = [],
): Promise<{ url: string; port: number }> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  keep({
    close() {
      for (const socket of sockets) socket.destroy();
      if ('closeAllConnections' in server) server.closeAllConnections();
      server.close();
    },
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, port };
}

export interface ClientGiven {
  readonly rules?: AddressRules;
  readonly lookup?: Lookup;
  readonly clock?: ManualClock;
  readonly maxResponseBytes?: number;
}

/** A client that may call the loopback addresses, unless it is given rules of its own. */
export function callClient(given: ClientGiven = {}): CallClient {
  const { rules = { allow: ['127.0.0.0/8', '::1'] }, lookup, clock = new ManualClock() } = given;
  const guard = lookup ? new AddressGuard(rules, lookup) : new AddressGuard(rules);
  return keep(new CallClient({ guard, clock, maxResponseBytes: given.maxResponseBytes ?? 1024 * 1024 }));
}

export function callTo(url: string, more: Partial<CallRequest> = {}): CallRequest {
  return {
    url,
    method: 'GET',
    headers: {},
    body: null,
    timeoutMs: 60_000,
    throwOnError: false,
    redirect: 'follow',
    retry: DEFAULT_RETRY,
    ...more,
  };
}

/** A signal that never fires. */
export const never: Parameters<CallClient['perform']>[1] = new AbortController().signal;
