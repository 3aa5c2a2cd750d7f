import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** One URL before several processes: connections go to them in turn, and past those that take none. */
export class Balancer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #targets: readonly string[] = [];
  #turn = 0;

  private constructor() {
    this.#server = createServer((socket) => this.#forward(socket, this.#targets.length));
  }

  static async start(): Promise<Balancer> {
    const balancer = new Balancer();
    balancer.#server.listen(0, '127.0.0.1');
    await once(balancer.#server, 'listening');
    return balancer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** From now on; connections that are open stay. */
  to(...urls: readonly string[]): void {
    this.#targets = urls;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #forward(socket: Socket, tries: number): void {
    const url = this.#targets[this.#turn++ % this.#targets.length];
    if (url === undefined || tries === 0) return void socket.destroy();
    const target = connect(Number(new URL(url).port), '127.0.0.1');
    this.#keep(socket);
    this.#keep(target);
    const another = (): void => this.#forward(socket, tries - 1);
    target.once('error', another);
    target.once('connect', () => {
      target.off('error', another);
      // the end of one is the end of the other: that is all that is to be known of a process that was killed
      for (const [one, other] of [
        [socket, target],
        [target, socket],
      ] as const) {
        one.pipe(other);
        one.once('error', () => other.destroy());
        one.once('close', () => other.destroy());
      }
    });
  }

  #keep(socket: Socket): void {
    if (this.#sockets.has(socket)) return;
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
  }
}
