import {
  createServer,
  connect,
  type Server,
  type Socket,
  type AddressInfo,
  type ListenOptions,
} from 'node:net';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { OwnConnections } from '../../lib/http/index.js';

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

/** A server at this address, and the ends of what connects to it. */
async function listen(to: ListenOptions): Promise<{ server: Server; accept(): Promise<Socket> }> {
  const server = createServer();
  server.listen(to);
  await once(server, 'listening');
  open.push({ close: () => server.close() });
  const accept = async (): Promise<Socket> => {
    const [socket] = (await once(server, 'connection')) as [Socket];
    open.push({ close: () => socket.destroy() });
    return socket;
  };
  return { server, accept };
}
const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function dial(...to: [number, string] | [string]): Promise<Socket> {
  const socket = to.length === 1 ? connect(to[0]) : connect(...to);
  open.push({ close: () => socket.destroy() });
  await once(socket, 'connect');
  return socket;
}

describe('connections of this process to itself', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '127.0.0.1'],
    ['::', '127.0.0.1'],
    ['::', '::1'],
  ])('are recognised at the other end: listening on %s, connected to %s', async (host, to) => {
    const own = new OwnConnections();
    const { server, accept } = await listen({ port: 0, host });
    const accepted = accept();
    const sender = await dial(portOf(server), to);
    own.opened(sender);
    const receiver = await accepted;
    expect([own.has(receiver), own.has(receiver)]).toEqual([true, true]);
  });

  it('are those that were opened here, and no others', async () => {
    const own = new OwnConnections();
    const { server, accept } = await listen({ port: 0, host: '127.0.0.1' });
    const accepted = accept();
    await dial(portOf(server), '127.0.0.1');
    const stranger = await accepted;
    const mine = accept();
    own.opened(await dial(portOf(server), '127.0.0.1'));
    expect([own.has(stranger), own.has(await mine)]).toEqual([false, true]);
  });

  it('are not recognised behind a proxy', async () => {
    const own = new OwnConnections();
    const { server, accept } = await listen({ port: 0, host: '127.0.0.1' });
    const proxy = await listen({ port: 0, host: '127.0.0.1' });
    proxy.server.on('connection', (socket) => {
      const onward = connect(portOf(server), '127.0.0.1');
      open.push({ close: () => onward.destroy() });
      socket.pipe(onward).pipe(socket);
    });
    const accepted = accept();
    const relayed = proxy.accept();
    own.opened(await dial(portOf(proxy.server), '127.0.0.1'));
    expect([own.has(await accepted), own.has(await relayed)]).toEqual([false, true]);
  });

  it('are forgotten when they close: their ports may be given to others', async () => {
    const own = new OwnConnections();
    const { server, accept } = await listen({ port: 0, host: '127.0.0.1' });
    const accepted = accept();
    const sender = await dial(portOf(server), '127.0.0.1');
    own.opened(sender);
    const { localAddress, localPort, remoteAddress, remotePort } = await accepted;
    const again = { localAddress, localPort, remoteAddress, remotePort } as Socket;
    sender.destroy();
    await once(sender, 'close');
    expect(own.has(again)).toBe(false);
  });

  it('have no addresses on a unix socket, and are not recognised', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'wf-own-'));
    open.push({ close: () => rmSync(folder, { recursive: true }) });
    const own = new OwnConnections();
    const path = join(folder, 's');
    const { accept } = await listen({ path });
    const accepted = accept();
    own.opened(await dial(path));
    expect(own.has(await accepted)).toBe(false);
  });
});
