import { once } from 'node:events';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { HttpTransport } from '../../lib/http/index.js';
import { delivery, httpResponse, onRequest, RawServer, Signal, signer } from './support.js';
import { cleanup, fateOf, ours, rawServer, transportTo } from './transport-support.js';

describe('no answer', () => {
  it('connection refused: not sent', async () => {
    const server = new RawServer(() => {});
    const target = await server.listen();
    await server.close();
    const error = await fateOf(transportTo(target));
    expect(error.fate).toBe('not-sent');
    expect(error.message).toContain('ECONNREFUSED');
  });

  it('a host that does not exist: not sent', async () => {
    const error = await fateOf(transportTo({ url: new URL('http://no-such-host.invalid/workflow/deliver') }));
    expect(error.fate).toBe('not-sent');
  });

  it('a unix socket that does not exist: not sent', async () => {
    const url = new URL('http://localhost/workflow/deliver');
    expect((await fateOf(transportTo({ url, socketPath: join(tmpdir(), 'no-such.sock') }))).fate).toBe(
      'not-sent',
    );
  });

  it('not TLS where TLS is expected: not sent', async () => {
    const { target } = await rawServer((socket) =>
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad\r\n\r\n')),
    );
    const url = new URL(target.url.href.replace('http:', 'https:'));
    expect((await fateOf(transportTo({ url }))).fate).toBe('not-sent');
  });

  it('a TLS handshake that never ends: not sent after the connect timeout', async () => {
    const { target } = await rawServer(() => {});
    const url = new URL(target.url.href.replace('http:', 'https:'));
    const transport = new HttpTransport({ signer: signer(), target: () => ({ url }), connectTimeoutMs: 50 });
    cleanup.push(() => transport.close());
    expect((await fateOf(transport)).fate).toBe('not-sent');
  });

  it('the application does not listen yet: not sent', async () => {
    const error = await fateOf(transportTo(undefined));
    expect([error.fate, error.message]).toEqual(['not-sent', expect.stringContaining('does not listen yet')]);
  });

  it.each<[string, (socket: Socket) => void]>([
    ['reset before it was read', (socket) => socket.once('readable', () => socket.resetAndDestroy())],
    ['closed before it was read', (socket) => socket.once('readable', () => socket.end())],
    ['reset after it was read', (socket) => onRequest(socket, () => socket.resetAndDestroy())],
    ['closed after it was read', (socket) => onRequest(socket, () => socket.end())],
    ['closed in the head', (socket) => onRequest(socket, () => socket.end('HTTP/1.1 200 OK\r\nconten'))],
    [
      'closed in the body',
      (socket) =>
        onRequest(socket, () => socket.end(httpResponse(200, '{"next":"waiting"}', ours).slice(0, -5))),
    ],
    [
      'reset in the body',
      (socket) =>
        onRequest(socket, () => {
          socket.write(httpResponse(200, '{"next":"waiting"}', ours).slice(0, -5), () =>
            socket.resetAndDestroy(),
          );
        }),
    ],
  ])('%s: unknown', async (_name, misbehave) => {
    const server = await rawServer(misbehave);
    expect((await fateOf(transportTo(server.target))).fate).toBe('unknown');
    expect(server.accepted).toBe(1);
  });

  it('reset as it is accepted: whichever is seen first, the connect or the reset, one connection', async () => {
    const server = await rawServer((socket) => socket.resetAndDestroy());
    expect(['not-sent', 'unknown']).toContain((await fateOf(transportTo(server.target))).fate);
    expect(server.accepted).toBe(1);
  });

  it('a kept connection that closes as the next request is written: unknown, and it is not sent twice', async () => {
    const reply = httpResponse(200, '{"next":"waiting"}', ours);
    let requests = 0;
    const server = await rawServer((socket) =>
      onRequest(socket, () => {
        requests += 1;
        if (requests === 1) socket.write(reply);
        else socket.destroy();
      }),
    );
    const transport = transportTo(server.target, 1);
    await expect(transport.deliver(delivery)).resolves.toEqual({ next: 'waiting' });
    expect((await fateOf(transport)).fate).toBe('unknown');
    expect(requests).toBe(2);
    expect(server.accepted).toBe(1);
  });

  it('a kept connection that was closed before: a new one is opened', async () => {
    const reply = httpResponse(200, '{"next":"waiting"}', ours);
    const sockets: Socket[] = [];
    const server = await rawServer((socket) => {
      sockets.push(socket);
      onRequest(socket, () => socket.write(reply));
    });
    const transport = transportTo(server.target, 1);
    await transport.deliver(delivery);
    const closed = once(sockets[0]!, 'close');
    sockets[0]!.end();
    await closed;
    await expect(transport.deliver(delivery)).resolves.toEqual({ next: 'waiting' });
    expect(server.accepted).toBe(2);
  });

  it('the transport is closed meanwhile: unknown; afterwards: not sent', async () => {
    const asked = new Signal();
    const { target } = await rawServer((socket) => onRequest(socket, () => asked.resolve()));
    const transport = transportTo(target);
    const fate = fateOf(transport);
    await asked.promise;
    await transport.close(1);
    expect((await fate).fate).toBe('unknown');
    expect((await fateOf(transport)).fate).toBe('not-sent');
    await expect(transport.ping()).rejects.toMatchObject({ code: 'WF_CALLBACK_UNREACHABLE' });
  });

  it('a signer that fails: not sent', async () => {
    const broken = signer();
    vi.spyOn(broken, 'sign').mockImplementation(() => {
      throw new Error('no entropy');
    });
    const { target } = await rawServer(() => {});
    const transport = new HttpTransport({ signer: broken, target: () => target });
    expect((await fateOf(transport)).fate).toBe('not-sent');
  });
});
