import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  connect,
  createServer as createSocketServer,
  type AddressInfo,
  type Server as SocketServer,
} from 'node:net';
import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy, type Provider } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';

/**
 * The one URL of a fleet. By `requests` as a reverse proxy does: each goes to the next instance; by `connections` as a Service of
 * Kubernetes does: a connection that is kept stays with its instance.
 */
export class Balancer {
  readonly #ports: number[] = [];
  readonly #server: Server | SocketServer;
  #next = 0;
  #joined: () => void = () => {};
  /** answers passed on, by status; of connections nothing is known */
  readonly answers = new Map<number, number>();

  private constructor(by: 'requests' | 'connections') {
    this.#server =
      by === 'requests'
        ? createServer((incoming, outgoing) => void this.#pass(incoming, outgoing))
        : createSocketServer((socket) => {
            const onward = connect(this.#turn(), '127.0.0.1');
            for (const [from, to] of [[socket, onward] as const, [onward, socket] as const]) {
              from.pipe(to);
              from.on('error', () => to.destroy());
            }
          });
  }

  static async start(by: 'requests' | 'connections' = 'requests'): Promise<Balancer> {
    const balancer = new Balancer(by);
    balancer.#server.listen(0, '127.0.0.1');
    await once(balancer.#server, 'listening');
    return balancer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  add(port: number): void {
    this.#ports.push(port);
    this.#joined();
  }

  remove(port: number): void {
    const at = this.#ports.indexOf(port);
    if (at >= 0) this.#ports.splice(at, 1);
  }

  async close(): Promise<void> {
    this.#server.close();
    if ('closeAllConnections' in this.#server) this.#server.closeAllConnections();
  }

  #turn(): number {
    return this.#ports[this.#next++ % this.#ports.length]!;
  }

  async #pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    if (this.#ports.length === 0) await new Promise<void>((resolve) => (this.#joined = resolve));
    for (let tries = 0; tries < 5; tries++) {
      const answer = await send(this.#turn(), incoming, Buffer.concat(chunks));
      // surely not sent: the next one may have it
      if (answer === 'refused') continue;
      if (answer === 'cut') break;
      this.answers.set(answer.status, (this.answers.get(answer.status) ?? 0) + 1);
      outgoing.writeHead(answer.status, answer.headers).end(answer.body);
      return;
    }
    outgoing.writeHead(502).end();
  }
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** Over a connection of its own: one that was kept could be closed under it. */
function send(
  port: number,
  { method, url, headers }: IncomingMessage,
  body: Buffer,
): Promise<Answer | 'refused' | 'cut'> {
  return new Promise((resolve) => {
    const sent = request({ host: '127.0.0.1', port, method, path: url, headers, agent: false });
    sent.on('error', (error) =>
      resolve('code' in error && error.code === 'ECONNREFUSED' ? 'refused' : 'cut'),
    );
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', () => resolve('cut'));
      response.on('end', () => {
        const { connection: _, 'transfer-encoding': __, ...rest } = response.headers;
        resolve({ status: response.statusCode!, headers: rest, body: Buffer.concat(chunks) });
      });
    });
    sent.end(body);
  });
}

/** Lets an application take part from when it listens until its shutdown begins. */
export function joining(balancer: Balancer): Provider {
  @Injectable()
  class Joining implements OnApplicationBootstrap, OnModuleDestroy {
    #port = 0;
    constructor(private readonly host: HttpAdapterHost) {}
    onApplicationBootstrap(): void {
      const server = this.host.httpAdapter.getHttpServer() as Server;
      server.once('listening', () => balancer.add((this.#port = (server.address() as AddressInfo).port)));
    }
    onModuleDestroy(): void {
      balancer.remove(this.#port);
    }
  }
  return Joining;
}
