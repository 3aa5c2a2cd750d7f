import type { Socket } from 'node:net';

/**
 * The connections that this process has opened to itself. What comes by one of them was sent by this process, once, and with
 * nothing between that could send a copy of it elsewhere: no proxy, no balancer, no other process that shares the port.
 *
 * Both ends know both addresses of a connection, and no two connections of a machine have the same four; a proxy between shows
 * as other ones. Unix sockets have none, and are not recognised.
 */
export class OwnConnections {
  readonly #open = new Set<string>();
  readonly #recognised = new WeakSet<Socket>();

  /** Called with the end that sends, before anything is sent. */
  opened(socket: Socket): void {
    const { localAddress, localPort, remoteAddress, remotePort } = socket;
    const name = nameOf(localAddress, localPort, remoteAddress, remotePort);
    if (name === undefined) return;
    this.#open.add(name);
    socket.once('close', () => this.#open.delete(name));
  }

  /** Called with the end that receives. */
  has(socket: Socket): boolean {
    // its addresses are asked of the system, and the same ones serve many requests
    if (this.#recognised.has(socket)) return true;
    const { localAddress, localPort, remoteAddress, remotePort } = socket;
    const name = nameOf(remoteAddress, remotePort, localAddress, localPort);
    if (name === undefined || !this.#open.has(name)) return false;
    this.#recognised.add(socket);
    return true;
  }
}

function nameOf(from?: string, fromPort?: number, to?: string, toPort?: number): string | undefined {
  if (from === undefined || fromPort === undefined || to === undefined || toPort === undefined)
    return undefined;
  return `${plain(from)} ${fromPort} ${plain(to)} ${toPort}`;
}

/** A server that listens on `::` sees an IPv4 peer as one of IPv6. */
const plain = (address: string): string => (address.startsWith('::ffff:') ? address.slice(7) : address);
