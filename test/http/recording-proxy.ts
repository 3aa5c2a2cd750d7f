import { once } from 'node:events';
import { createServer, request, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One delivery as it was on the wire, and the status of its answer. */
export interface Recorded {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly status: number;
}

export interface RecordingProxy {
  readonly url: string;
  readonly recorded: readonly Recorded[];
  /** ports behind it, asked in turn */
  ports: number[];
  /** Takes an instance out; resolves when nothing is under way there any more. */
  leave(port: number): Promise<void>;
  close(): Promise<void>;
}

/** Sends the same bytes again. */
export function send(
  port: number,
  { path, headers, body }: Omit<Recorded, 'status'>,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { port, host: '127.0.0.1', method: 'POST', path, headers, agent: false },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => resolve({ status: answer.statusCode!, body: text }));
      },
    );
    sent.on('error', reject).end(body);
  });
}

/** A load balancer that keeps what goes through it. */
export async function recordingProxy(): Promise<RecordingProxy> {
  const recorded: Recorded[] = [];
  const underWay = new Map<number, Set<Promise<unknown>>>();
  let turn = 0;
  const server = createServer((incoming, outgoing) => {
    void (async () => {
      const body = Buffer.concat(await incoming.toArray());
      // chosen when the body is there: nothing goes to an instance that has left
      const port = proxy.ports[turn++ % proxy.ports.length]!;
      const { url: path = '/', headers } = incoming;
      const exchange = send(port, { path, headers, body });
      const there = underWay.get(port) ?? new Set();
      underWay.set(port, there.add(exchange));
      try {
        const answer = await exchange;
        recorded.push({ path, headers, body, status: answer.status });
        outgoing.writeHead(answer.status, { 'workflow-protocol': '1', 'content-type': 'application/json' });
        outgoing.end(answer.body);
      } catch {
        outgoing.writeHead(502).end();
      } finally {
        there.delete(exchange);
      }
    })();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: RecordingProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    recorded,
    ports: [],
    leave: async (port) => {
      proxy.ports = proxy.ports.filter((each) => each !== port);
      await Promise.allSettled(underWay.get(port) ?? new Set<Promise<unknown>>());
    },
    close: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
  return proxy;
}
