import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mix, seeded } from './random.js';

export interface CallServer {
  readonly url: string;
  close(): void;
}

/** What external calls reach: `/n/i` is answered with the value of these numbers, when it is answered well. */
export async function startCallServer(seed: number): Promise<CallServer> {
  const random = seeded(seed ^ 0x5eed);
  const hanging = new Set<ServerResponse>();
  const server: Server = createServer((request, response) => {
    request.resume();
    const [, n, i] = request.url!.split('/').map(Number);
    const luck = random();
    if (luck < 0.05) {
      hanging.add(response); // never answered: the time limit of the call ends it
      response.once('close', () => hanging.delete(response));
    } else if (luck < 0.12) request.socket.destroy();
    else if (luck < 0.2) response.writeHead(500).end('not now');
    else if (luck < 0.25) {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 }).write('{"val');
      setTimeout(() => request.socket.destroy(), 20);
    } else {
      const body = JSON.stringify({ value: mix(n!, i!) });
      setTimeout(
        () => response.writeHead(200, { 'content-type': 'application/json' }).end(body),
        random() * 30,
      );
    }
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
