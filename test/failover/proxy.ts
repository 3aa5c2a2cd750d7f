import { connect, createServer, type Server, type Socket } from 'node:net';

/** One address in front of two servers, as a virtual IP or a proxy that follows the primary. */
export class Proxy {
  #target: number | null;
  readonly #clients = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    target: number,
  ) {
    this.#target = target;
    server.on('connection', (client: Socket) => this.#accept(client));
  }

  static async start(target: number): Promise<Proxy> {
    const server = createServer();
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    return new Proxy(server, target);
  }

  get url(): string {
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('The proxy does not listen');
    return `postgres://postgres@127.0.0.1:${address.port}/postgres`;
  }

  /** Connections from now on go there (null: are refused); those that are open stay where they are. */
  switchTo(target: number | null): void {
    this.#target = target;
  }

  get connections(): number {
    return this.#clients.size;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    await new Promise((closed) => this.server.close(closed));
  }

  #accept(client: Socket): void {
    if (this.#target === null) return void client.resetAndDestroy();
    const upstream = connect(this.#target, '127.0.0.1');
    this.#clients.add(client);
    const end = (): void => {
      this.#clients.delete(client);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
    client.pipe(upstream).pipe(client);
  }
}
