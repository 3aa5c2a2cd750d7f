import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Where this process itself listens. */
export interface ListeningAddress {
  /** `http://127.0.0.1:3000`; for a unix socket `http://localhost`, reached through `socketPath` */
  readonly base: string;
  readonly socketPath?: string;
  /** addresses that stand for the host of `base`, to be tried in turn */
  readonly addresses?: readonly string[];
}

/**
 * Learns at which address this application listens, whoever makes it listen: `app.listen()`, supertest, or the server itself.
 * Looks at the server when the application has bootstrapped, at the earliest at a call of `watch()`.
 */
@Injectable()
export class OwnAddress implements OnApplicationBootstrap {
  #address: ListeningAddress | undefined;
  #watched: 'not yet' | 'no server' | Server = 'not yet';
  readonly #settled = new Set<() => void>();
  readonly #awaiting: (() => void)[] = [];
  readonly #leaving: (() => void)[] = [];

  constructor(@Inject(HttpAdapterHost) private readonly host: HttpAdapterHost) {}

  onApplicationBootstrap(): void {
    this.watch();
  }

  /** Starts to look. Idempotent; called by Nest at bootstrap. */
  watch(): void {
    if (this.#watched !== 'not yet') return;
    const server: Server | undefined = this.host.httpAdapter?.getHttpServer?.();
    if (typeof server?.address !== 'function') {
      this.#watched = 'no server';
      this.#settle();
      return;
    }
    this.#watched = server;
    server.on('listening', () => this.#learn(server));
    server.on('close', () => this.#forget());
    if (server.listening) this.#learn(server);
  }

  /** The address now; undefined while nothing listens. */
  get current(): ListeningAddress | undefined {
    // it refuses connections from the moment it is told to close, and says `close` when the last one has ended
    if (this.#address && typeof this.#watched === 'object' && !this.#watched.listening) this.#forget();
    return this.#address;
  }

  /** Calls back once: now if the application listens, otherwise when it begins to. */
  onceListening(listener: () => void): void {
    if (this.current) listener();
    else this.#awaiting.push(listener);
  }

  /** Calls back once, when the server has closed; never if it does not listen now. */
  onceClosed(listener: () => void): void {
    if (this.current) this.#leaving.push(listener);
  }

  /** The address as soon as there is one; undefined when there is no HTTP server, or nothing listens within the time. */
  whenListening(timeoutMs: number): Promise<ListeningAddress | undefined> {
    if (this.current || this.#watched === 'no server') return Promise.resolve(this.#address);
    return new Promise((resolve) => {
      const settle = (): void => {
        clearTimeout(timer);
        this.#settled.delete(settle);
        resolve(this.current);
      };
      const timer = setTimeout(settle, timeoutMs);
      this.#settled.add(settle);
    });
  }

  #learn(server: Server): void {
    this.#address = addressOf(server.address(), 'setSecureContext' in server);
    if (this.#address === undefined) return;
    this.#settle();
    for (const listener of this.#awaiting.splice(0)) listener();
  }

  #forget(): void {
    this.#address = undefined;
    for (const listener of this.#leaving.splice(0)) listener();
  }

  #settle(): void {
    for (const settle of this.#settled) settle();
  }
}

/** How a process reaches its own server, from what `server.address()` says. */
export function addressOf(address: AddressInfo | string | null, tls: boolean): ListeningAddress | undefined {
  const scheme = tls ? 'https' : 'http';
  if (address === null) return undefined;
  if (typeof address === 'string') return { base: `${scheme}://localhost`, socketPath: address };
  const { address: ip, port } = address;
  // "all addresses" is none to connect to; whether `::` includes IPv4 cannot be seen, so both loopbacks stand for it
  if (ip === '::') return { base: `${scheme}://localhost:${port}`, addresses: ['127.0.0.1', '::1'] };
  if (ip === '0.0.0.0') return { base: `${scheme}://127.0.0.1:${port}` };
  return { base: `${scheme}://${ip.includes(':') ? `[${ip}]` : ip}:${port}` };
}
