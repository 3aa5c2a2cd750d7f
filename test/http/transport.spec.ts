import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { WorkflowError } from '../../lib/errors/index.js';
import {
  CallbackEndpoint,
  createSigningKeys,
  HttpTransport,
  InProcessTransport,
  MessageSigner,
  MessageVerifier,
  ownTarget,
  PROTOCOL_HEADER,
  type CallbackTarget,
} from '../../lib/http/index.js';
import { poolOptions } from '../../lib/http/callback-target.js';
import { addressOf } from '../../lib/http/own-address.js';
import { serve } from '../../lib/http/serve.js';
import { DeliveryError, type DeliveryReply } from '../../lib/ports/index.js';
import {
  delivery,
  FakeHandler,
  httpResponse,
  keys,
  onRequest,
  RawServer,
  Signal,
  signer,
} from './support.js';

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end();
});

function transportTo(target: CallbackTarget | undefined, connections?: number): HttpTransport {
  const options = { signer: signer(), connections, connectTimeoutMs: 20_000, pingTimeoutMs: 20_000 };
  const transport = new HttpTransport({ ...options, target: () => target });
  cleanup.push(() => transport.close());
  return transport;
}
async function rawServer(
  onSocket: (socket: Socket, index: number) => void,
): Promise<RawServer & { target: CallbackTarget }> {
  const server = new RawServer(onSocket);
  const target = await server.listen();
  cleanup.push(() => server.close());
  return Object.assign(server, { target });
}
const answering = (response: string) =>
  rawServer((socket) => onRequest(socket, () => socket.write(response)));
const ours = { [PROTOCOL_HEADER]: '1', 'content-type': 'application/json' };

async function fateOf(transport: HttpTransport): Promise<DeliveryError> {
  const error: unknown = await transport.deliver(delivery).then(
    () => new Error('was delivered'),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(DeliveryError);
  return error as DeliveryError;
}

/** A real endpoint behind node:http. */
async function endpoint(
  handler: FakeHandler,
  listen: (server: Server) => void,
  server = createServer(),
): Promise<Server> {
  const callback = new CallbackEndpoint(handler, new MessageVerifier(keys()), { instance: 'i1' });
  server.on('request', (request, response) => void serve(callback, request, response));
  listen(server);
  await once(server, 'listening');
  cleanup.push(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  );
  return server;
}
const targetOf = (server: Server, tls = false): CallbackTarget =>
  ownTarget(addressOf(server.address(), tls)!, '', 'workflow');

describe('an answer of the endpoint', () => {
  it.each<[number, unknown, DeliveryReply]>([
    [200, { next: 'continue', seq: 4, more: true }, { next: 'continue', seq: 4 }],
    [200, { next: 'waiting' }, { next: 'waiting' }],
    [200, { next: 'waiting', dueInMs: 20 }, { next: 'waiting', dueInMs: 20 }],
    [200, { next: 'waiting', dueInMs: 'soon' }, { next: 'waiting' }],
    [200, { next: 'finished' }, { next: 'finished' }],
    [200, { next: 'done' }, { next: 'done' }],
    [202, { next: 'adopted' }, { next: 'adopted' }],
    [409, { code: 'WF_STALE_DELIVERY', message: 'x' }, { next: 'stale' }],
  ])('%i %j is a reply', async (status, body, reply) => {
    const { target } = await answering(httpResponse(status, JSON.stringify(body), ours));
    await expect(transportTo(target).deliver(delivery)).resolves.toEqual(reply);
  });

  it.each<[number, DeliveryError['fate']]>([
    [408, 'not-sent'],
    [421, 'not-sent'],
    [429, 'not-sent'],
    [503, 'not-sent'],
    [400, 'refused'],
    [401, 'refused'],
    [413, 'refused'],
    [415, 'refused'],
    [500, 'failed'],
    [507, 'failed'],
    [204, 'unknown'],
  ])('%i means %s', async (status, fate) => {
    const body = status === 204 ? '' : JSON.stringify({ code: 'WF_X', message: 'why it is so' });
    const { target } = await answering(httpResponse(status, body, ours));
    const error = await fateOf(transportTo(target));
    expect([error.fate, error.status]).toEqual([fate, status]);
    expect(error.message).toContain('task 9223372036854775807 (run order-7 of fulfil-order)');
    expect(error.message).toContain(status === 204 ? 'answered 204' : 'WF_X: why it is so');
  });

  it.each([
    '',
    'null',
    '[]',
    '{"next":"later"}',
    '{"next":"continue"}',
    '{"next":"continue","seq":"1"}',
    '{"next":"wai',
  ])('200 with %j means unknown', async (body) => {
    const { target } = await answering(httpResponse(200, body, ours));
    expect((await fateOf(transportTo(target))).fate).toBe('unknown');
  });
});

describe('an answer of something else', () => {
  const login = `<!doctype html><title>Sign in</title>${'<p>'.repeat(200)}`;
  it.each<[string, string, DeliveryError['fate']]>([
    ['a login page', httpResponse(200, login, { 'content-type': 'text/html' }), 'unknown'],
    ['a reply without the header', httpResponse(200, '{"next":"finished"}'), 'unknown'],
    ['202 of a queue', httpResponse(202, '{"next":"adopted"}'), 'unknown'],
    ['409', httpResponse(409, '{}'), 'refused'],
    ['a redirect', httpResponse(302, '', { location: 'https://login.example/' }), 'refused'],
    ['401', httpResponse(401, 'who?'), 'refused'],
    ['403', httpResponse(403, '{"message":"Forbidden resource"}'), 'refused'],
    ['404', httpResponse(404, 'Cannot POST'), 'refused'],
    ['405', httpResponse(405, ''), 'refused'],
    ['413', httpResponse(413, ''), 'refused'],
    ['429', httpResponse(429, ''), 'not-sent'],
    ['500', httpResponse(500, ''), 'failed'],
    ['408', httpResponse(408, ''), 'unknown'],
    ['502', httpResponse(502, 'Bad gateway'), 'unknown'],
    ['503', httpResponse(503, 'upstream reset'), 'unknown'],
    ['504', httpResponse(504, 'Gateway timeout'), 'unknown'],
    ['522', httpResponse(522, ''), 'unknown'],
    [
      '503 of Fastify',
      httpResponse(503, '{"error":"Service Unavailable","code":"FST_ERR_CLOSING","statusCode":503}'),
      'not-sent',
    ],
    [
      '503 of Nest on Fastify',
      httpResponse(503, '{"error":"Service Unavailable","message":"Service Unavailable","statusCode":503}'),
      'not-sent',
    ],
    ['an endless page', httpResponse(200, 'x'.repeat(70_000), { 'content-length': '1000000000' }), 'unknown'],
    ['no HTTP', 'SSH-2.0-OpenSSH_9.6\r\n', 'unknown'],
    ['HTTP with a broken head', 'HTTP/1.1 200 OK\r\nbad header\r\n\r\n', 'unknown'],
  ])('%s', async (_name, response, fate) => {
    const { target } = await answering(response);
    expect((await fateOf(transportTo(target))).fate).toBe(fate);
  });

  it('a redirect is not followed', async () => {
    const elsewhere = await rawServer(() => {});
    const { target } = await answering(httpResponse(307, '', { location: elsewhere.target.url.href }));
    const error = await fateOf(transportTo(target));
    expect(error.message).toContain(`redirect to ${elsewhere.target.url.href}, not followed`);
    expect(elsewhere.accepted).toBe(0);
  });
});

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
    const broken = Object.assign(signer(), { sign: () => Promise.reject(new Error('no entropy')) });
    const { target } = await rawServer(() => {});
    const transport = new HttpTransport({ signer: broken, target: () => target });
    expect((await fateOf(transport)).fate).toBe('not-sent');
  });
});

describe('a long step', () => {
  it('is cut by no timeout of the client', () => {
    const limits = { connections: 7, connectTimeoutMs: 5000 };
    const options = poolOptions({ url: new URL('http://x/') }, limits);
    expect(options).toMatchObject({ headersTimeout: 0, bodyTimeout: 0, pipelining: 1, connections: 7 });
    expect(options.connect).toMatchObject({ timeout: 5000 });
    expect(options.connect).not.toHaveProperty('rejectUnauthorized');
  });

  it('does not hold up others: deliveries overlap', async () => {
    const handler = new FakeHandler();
    const [all, goOn] = [new Signal(), new Signal<DeliveryReply>()];
    handler.answer = () => {
      if (handler.calls.length === 20) all.resolve();
      return goOn.promise;
    };
    const server = await endpoint(handler, (s) => s.listen(0));
    const transport = transportTo(targetOf(server));
    const replies = Array.from({ length: 20 }, () => transport.deliver(delivery));
    await all.promise;
    goOn.resolve({ next: 'done' });
    expect(await Promise.all(replies)).toEqual(Array.from({ length: 20 }, () => ({ next: 'done' })));
  });

  it('leaves room: no more than `connections` at a time, the others follow', async () => {
    let most = 0;
    const handler = new FakeHandler();
    let running = 0;
    handler.answer = async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return { next: 'done' };
    };
    const server = await endpoint(handler, (s) => s.listen(0));
    const transport = transportTo(targetOf(server), 3);
    await Promise.all(Array.from({ length: 30 }, () => transport.deliver(delivery)));
    expect(handler.calls).toHaveLength(30);
    expect(most).toBeLessThanOrEqual(3);
    expect(() => transportTo(undefined, 0)).toThrow(/WF_INVALID_OPTIONS/);
  });

  it('may end while the transport closes with a grace', async () => {
    const handler = new FakeHandler();
    const [started, goOn] = [new Signal(), new Signal<DeliveryReply>()];
    handler.answer = () => {
      started.resolve();
      return goOn.promise;
    };
    const server = await endpoint(handler, (s) => s.listen(0));
    const transport = transportTo(targetOf(server));
    const reply = transport.deliver(delivery);
    await started.promise;
    const closed = transport.close(60_000);
    goOn.resolve({ next: 'finished' });
    await expect(reply).resolves.toEqual({ next: 'finished' });
    await closed;
  });
});

describe('where the application listens', () => {
  it.each(['0.0.0.0', '::', '127.0.0.1', '::1'])('%s', async (host) => {
    const server = await endpoint(new FakeHandler(), (s) => s.listen(0, host));
    const transport = transportTo(targetOf(server));
    await transport.ping();
    await expect(transport.deliver(delivery)).resolves.toEqual({ next: 'continue', seq: 13 });
  });

  it(':: without IPv4', async () => {
    const server = await endpoint(new FakeHandler(), (s) =>
      s.listen({ port: 0, host: '::', ipv6Only: true }),
    );
    await expect(transportTo(targetOf(server)).ping()).resolves.toBeUndefined();
  });

  it('a unix socket', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'wf-http-'));
    cleanup.push(async () => rmSync(folder, { recursive: true }));
    const server = await endpoint(new FakeHandler(), (s) => s.listen(join(folder, 'app.sock')));
    const transport = transportTo(targetOf(server));
    await transport.ping();
    await expect(transport.deliver(delivery)).resolves.toEqual({ next: 'continue', seq: 13 });
  });

  it('https with a certificate of its own: accepted for the own address only', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'wf-http-'));
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    const args = [
      'req',
      '-x509',
      ...curve,
      '-nodes',
      '-keyout',
      key,
      '-out',
      cert,
      '-subj',
      '/CN=app',
      '-days',
      '2',
    ];
    execFileSync('openssl', args, { stdio: 'ignore' });
    const tls = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) });
    rmSync(folder, { recursive: true });
    const server = await endpoint(new FakeHandler(), (s) => s.listen(0), tls);
    const own = targetOf(server, true);
    expect(own.url.protocol).toBe('https:');
    const transport = transportTo(own);
    await transport.ping();
    await expect(transport.deliver(delivery)).resolves.toEqual({ next: 'continue', seq: 13 });

    const configured = transportTo({ ...own, own: false });
    expect((await fateOf(configured)).fate).toBe('not-sent');
    await expect(configured.ping()).rejects.toThrow(/self-signed|SELF_SIGNED/i);
  });

  it('another address from now on', async () => {
    const [a, b] = [new FakeHandler(), new FakeHandler()];
    const servers = [await endpoint(a, (s) => s.listen(0)), await endpoint(b, (s) => s.listen(0))];
    let target = targetOf(servers[0]!);
    const transport = new HttpTransport({ signer: signer(), target: () => target });
    cleanup.push(() => transport.close());
    await transport.deliver(delivery);
    target = targetOf(servers[1]!);
    await transport.deliver(delivery);
    expect([a.calls.length, b.calls.length]).toEqual([1, 1]);
  });
});

describe('ping', () => {
  const page = `<!doctype html><title>Sign in</title>${'-'.repeat(300)}END`;
  it.each<[string, string, RegExp]>([
    ['a login page', httpResponse(200, page), /was answered 200: "<!doctype html><title>Sign in/],
    [
      'a redirect',
      httpResponse(302, '', { location: 'https://login.example/' }),
      /302 \(a redirect to https:\/\/login/,
    ],
    ['not found', httpResponse(404, '{"message":"Cannot POST /workflow/deliver"}'), /404.*Cannot POST/],
    ['somebody who says pong', httpResponse(200, '{"pong":"x"}', ours), /answered 200/],
    ['no object', httpResponse(200, '[]', ours), /answered 200/],
  ])('%s', async (_name, response, message) => {
    const { target } = await answering(response);
    const error: unknown = await transportTo(target)
      .ping()
      .catch((e: unknown) => e);
    expect(error).toMatchObject({
      code: 'WF_CALLBACK_UNREACHABLE',
      message: expect.stringMatching(message) as string,
    });
    expect((error as Error).message).toContain(target.url.href);
    expect((error as Error).message).not.toContain('END');
  });

  it('nobody there, nobody answers', async () => {
    const server = new RawServer(() => {});
    const target = await server.listen();
    const silent = new HttpTransport({ signer: signer(), target: () => target, pingTimeoutMs: 50 });
    cleanup.push(() => silent.close());
    await expect(silent.ping()).rejects.toThrow(/no answer within 50 ms.*WF_CALLBACK_UNREACHABLE/);
    await server.close();
    await expect(transportTo(target).ping()).rejects.toThrow(/ECONNREFUSED/);
    await expect(transportTo(undefined).ping()).rejects.toThrow(/does not listen/);
  });

  it('an endpoint with another key', async () => {
    const server = await endpoint(new FakeHandler(), (s) => s.listen(0));
    const stranger = new MessageSigner(createSigningKeys());
    const transport = new HttpTransport({ signer: stranger, target: () => targetOf(server) });
    cleanup.push(() => transport.close());
    await expect(transport.ping()).rejects.toThrow(/401: WF_UNSIGNED: .*another key/);
    await expect(transport.deliver(delivery)).rejects.toMatchObject({ fate: 'refused', status: 401 });
  });

  it('a gateway that asks for the user of the URL', async () => {
    const asked = new Signal<string>();
    const { target } = await rawServer((socket) =>
      onRequest(socket, (request) => {
        asked.resolve(request);
        socket.write(httpResponse(200, '{"next":"done"}', ours));
      }),
    );
    target.url.username = 'me';
    target.url.password = 'p@ss';
    await transportTo(target).deliver(delivery);
    expect(await asked.promise).toContain(
      `authorization: Basic ${Buffer.from('me:p@ss').toString('base64')}`,
    );
  });
});

describe('in-process', () => {
  const handler = new FakeHandler();
  const transport = new InProcessTransport(handler);
  const failing = (error: Error): Promise<DeliveryReply> => {
    handler.answer = async () => {
      throw error;
    };
    return transport.deliver(delivery);
  };

  it('gives the reply of the handler', async () => {
    expect(transport.kind).toBe('in-process');
    await expect(transport.deliver(delivery)).resolves.toEqual({ next: 'continue', seq: 13 });
  });

  it('has the same fates', async () => {
    await expect(failing(new WorkflowError('WF_NOT_SERVED', 'x'))).rejects.toMatchObject({
      fate: 'not-sent',
    });
    await expect(failing(new WorkflowError('WF_SHUTTING_DOWN', 'x'))).rejects.toMatchObject({
      fate: 'not-sent',
    });
    await expect(failing(new WorkflowError('WF_DATABASE_UNAVAILABLE', 'x'))).rejects.toMatchObject({
      fate: 'failed',
    });
    const cause = new Error('boom');
    const error: unknown = await failing(cause).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(DeliveryError);
    expect(error).toMatchObject({
      fate: 'failed',
      cause,
      message: expect.stringContaining('boom') as string,
    });
    await expect(failing(new WorkflowError('WF_STALE_DELIVERY', 'x'))).resolves.toEqual({ next: 'stale' });
  });
});

it('many deliveries cause no warning of the process', async () => {
  const warnings: Error[] = [];
  const hear = (warning: Error): void => void warnings.push(warning);
  process.on('warning', hear);
  cleanup.push(async () => process.off('warning', hear));
  const server = await endpoint(new FakeHandler(), (s) => s.listen(0));
  const transport = transportTo(targetOf(server), 16);
  await Promise.all(Array.from({ length: 300 }, () => transport.deliver(delivery)));
  await new Promise((resolve) => setImmediate(resolve));
  expect(warnings).toEqual([]);
});
