import { once } from 'node:events';
import type { Socket } from 'node:net';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CallError, type CallOutcome, type CallResponse } from '../../lib/engine/call.js';
import { toFailure } from '../../lib/engine/failure.js';
import { callClient, callTo, ManualClock, never, serveHttp, serveTcp } from './support.js';

const stray: unknown[] = [];
const onStray = (error: unknown): void => void stray.push(error);
beforeAll(() => {
  process.on('uncaughtExceptionMonitor', onStray).on('unhandledRejection', onStray);
});
afterAll(() => {
  process.off('uncaughtExceptionMonitor', onStray).off('unhandledRejection', onStray);
});

function valueOf(outcome: CallOutcome): CallResponse {
  if (!outcome.ok) throw outcome.error;
  return outcome.value;
}

function errorOf(outcome: CallOutcome): CallError {
  if (outcome.ok) throw new Error(`answered ${outcome.value.status}`);
  expect(outcome.error).toBeInstanceOf(CallError);
  return outcome.error;
}

const closed = async (socket: Socket): Promise<void> => {
  if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve));
};

const isFinal = (error: CallError): boolean => toFailure(error).retryable === false;

describe('a response', () => {
  it('gives status, headers and the body as its type says', async () => {
    const { url, requests } = await serveHttp((_request, response) => {
      response.writeHead(201, {
        'Content-Type': 'application/json',
        'X-One': ['a', 'b'],
        'Set-Cookie': ['a=1', 'b=2'],
      });
      response.end('{"ok":true}');
    });
    const body = { encoding: 'utf8', data: '{"n":1}' } as const;
    const response = valueOf(
      await callClient().perform(
        callTo(`${url}/charges?dry=1`, {
          method: 'POST',
          body,
          headers: { 'content-type': 'application/json' },
        }),
        never,
      ),
    );
    expect(response).toMatchObject({ status: 201, body: { ok: true } });
    expect(response.headers).toMatchObject({ 'x-one': 'a, b', 'set-cookie': 'a=1\nb=2' });
    expect(requests).toMatchObject([{ method: 'POST', url: '/charges?dry=1' }]);
    expect(requests[0]!.body.toString()).toBe('{"n":1}');
    expect(requests[0]!.headers).toMatchObject({
      'content-type': 'application/json',
      'user-agent': 'nestjs-workflow',
    });
  });

  it('carries bytes both ways unchanged', async () => {
    const bytes = Buffer.from(Array.from({ length: 2048 }, (_, i) => i % 256));
    const { url } = await serveHttp((_request, response, body) => {
      response.setHeader('content-type', 'application/octet-stream');
      response.end(body);
    });
    const body = { encoding: 'base64', data: bytes.toString('base64') } as const;
    const response = valueOf(await callClient().perform(callTo(url, { method: 'PUT', body }), never));
    expect(Buffer.isBuffer(response.body)).toBe(true);
    expect(bytes.equals(response.body as Buffer)).toBe(true);
  });

  it('is a value whatever its status, HEAD and 204 included', async () => {
    const { url } = await serveHttp((request, response) => {
      response.statusCode = Number(request.url!.slice(1));
      response.setHeader('content-type', 'text/plain');
      if (request.method === 'HEAD') response.setHeader('content-length', 10 ** 9);
      response.end();
    });
    const client = callClient();
    for (const status of [204, 304, 404, 500]) {
      expect(valueOf(await client.perform(callTo(`${url}/${status}`), never))).toMatchObject({
        status,
        body: '',
      });
    }
    const head = valueOf(await client.perform(callTo(`${url}/200`, { method: 'HEAD' }), never));
    expect(head).toMatchObject({ status: 200, body: '', headers: { 'content-length': '1000000000' } });
  });

  it('takes user and password of the URL for a header', async () => {
    const { port, requests } = await serveHttp((_request, response) => response.end());
    const client = callClient();
    await client.perform(callTo(`http://ann:p%40ss@127.0.0.1:${port}/`), never);
    const authorization = 'Bearer mine';
    await client.perform(
      callTo(`http://ann:p%40ss@127.0.0.1:${port}/`, { headers: { authorization } }),
      never,
    );
    expect(requests.map(({ headers }) => headers.authorization)).toEqual([
      `Basic ${Buffer.from('ann:p@ss').toString('base64')}`,
      'Bearer mine',
    ]);
  });

  it.each([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
    ['deflate, gzip', (bytes: Buffer) => gzipSync(deflateSync(bytes))],
  ])('that is %s is decompressed, errors too', async (encoding, compress) => {
    const { url } = await serveHttp((_request, response) => {
      response.writeHead(500, { 'content-type': 'text/plain', 'content-encoding': encoding });
      response.end(compress(Buffer.from('read me')));
    });
    const response = valueOf(await callClient().perform(callTo(url), never));
    expect(response).toMatchObject({ status: 500, body: 'read me' });
    expect(response.headers).not.toHaveProperty('content-encoding');
    expect(response.headers).not.toHaveProperty('content-length');
  });

  it('in an encoding that is not known is left as it is', async () => {
    const { url } = await serveHttp((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'zip' });
      response.end(Buffer.from([1, 2, 3]));
    });
    const response = valueOf(await callClient().perform(callTo(url), never));
    expect(response.headers['content-encoding']).toBe('zip');
    expect(response.body).toEqual(Buffer.from([1, 2, 3]));
  });
});

describe('throwOnError', () => {
  const serve = (status: number, headers: Record<string, string> = {}) =>
    serveHttp((_request, response) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end('{"why":"busy"}');
    });

  it.each([408, 425, 429, 500, 503, 599])('%i is tried again', async (status) => {
    const { url } = await serve(status);
    const error = errorOf(await callClient().perform(callTo(url, { throwOnError: true }), never));
    expect(error).toMatchObject({ code: 'WF_CALL_STATUS', data: { status, body: { why: 'busy' } } });
    expect(isFinal(error)).toBe(false);
  });

  it.each([301, 304, 400, 401, 404, 409, 499])('%i is final', async (status) => {
    const { url } = await serve(status);
    const error = errorOf(await callClient().perform(callTo(url, { throwOnError: true }), never));
    expect([error.code, isFinal(error)]).toEqual(['WF_CALL_STATUS', true]);
  });

  it('a server may say from when on', async () => {
    const wait = async (headers: Record<string, string>): Promise<unknown> => {
      const { url } = await serve(503, headers);
      const outcome = await callClient().perform(callTo(url, { throwOnError: true }), never);
      return toFailure(errorOf(outcome)).retryAfterMs;
    };
    expect(await wait({ 'retry-after': '7' })).toBe(7000);
    const date = 'Wed, 21 Oct 2015 07:28:00 GMT';
    expect(await wait({ 'retry-after': 'Wed, 21 Oct 2015 07:28:30 GMT', date })).toBe(30_000);
    expect(await wait({ 'retry-after': 'soon' })).toBeUndefined();
    expect(await wait({})).toBeUndefined();
  });
});

describe('a redirect', () => {
  const serve = (status: number, to: (port: number) => string) =>
    serveHttp((request, response) => {
      if (request.url === '/end') {
        response.end('there');
        return;
      }
      response.writeHead(status, { location: to((request.socket.address() as { port: number }).port) });
      response.end();
    });
  const secrets = { authorization: 'Bearer x', cookie: 'a=1', 'x-mine': 'y' };
  const body = { encoding: 'utf8', data: 'hello' } as const;

  it.each([
    [301, 'POST', 'GET', ''],
    [302, 'POST', 'GET', ''],
    [301, 'PUT', 'PUT', 'hello'],
    [303, 'PUT', 'GET', ''],
    [307, 'POST', 'POST', 'hello'],
    [308, 'POST', 'POST', 'hello'],
  ])('%i after %s goes on as %s', async (status, method, then, sent) => {
    const { url, requests } = await serve(status, () => '/end');
    const headers = { 'content-type': 'text/plain', ...secrets };
    const response = valueOf(await callClient().perform(callTo(url, { method, body, headers }), never));
    expect(response.body).toEqual(Buffer.from('there'));
    expect(requests.map((one) => one.method)).toEqual([method, then]);
    expect(requests[1]!.body.toString()).toBe(sent);
    expect(requests[1]!.headers).toMatchObject(secrets);
    expect(requests[1]!.headers['content-type']).toBe(sent === '' ? undefined : 'text/plain');
  });

  it('to another origin goes without what is meant for the first', async () => {
    const { url, requests } = await serve(307, (port) => `http://localhost:${port}/end`);
    const client = callClient({ rules: { allow: ['127.0.0.0/8', '::1', 'localhost'] } });
    expect(valueOf(await client.perform(callTo(url, { headers: secrets }), never)).status).toBe(200);
    expect(requests[1]!.headers['x-mine']).toBe('y');
    expect(requests[1]!.headers).not.toHaveProperty('authorization');
    expect(requests[1]!.headers).not.toHaveProperty('cookie');
  });

  it('to a denied address is not followed: nothing gets there', async () => {
    const inner = await serveHttp((_request, response) => response.end('secret'));
    const { url } = await serve(302, () => `http://127.0.0.2:${inner.port}/end?key=secret`);
    const client = callClient({ rules: { allow: ['127.0.0.1'] } });
    const error = errorOf(await client.perform(callTo(url), never));
    expect([error.code, isFinal(error)]).toEqual(['WF_CALL_DENIED', true]);
    expect(inner.requests).toEqual([]);
  });

  it.each(['file:///etc/passwd', 'ftp://127.0.0.1/', 'data:text/plain,x', 'unix:/var/run/docker.sock'])(
    'to %s is denied',
    async (location) => {
      const { url } = await serve(302, () => location);
      const error = errorOf(await callClient().perform(callTo(url), never));
      expect([error.code, isFinal(error)]).toEqual(['WF_CALL_DENIED', true]);
    },
  );

  it('in a circle ends after 10', async () => {
    const { url, requests } = await serve(302, () => '/');
    const error = errorOf(await callClient().perform(callTo(url), never));
    expect([error.code, isFinal(error)]).toEqual(['WF_CALL_FAILED', true]);
    expect(error.message).toContain('more than 10 times');
    expect(requests.length).toBe(11);
  });

  it('to nowhere is a value, to what is no URL a failure', async () => {
    const nowhere = await serveHttp((_request, response) => response.writeHead(302).end());
    expect(valueOf(await callClient().perform(callTo(nowhere.url), never)).status).toBe(302);
    const { url } = await serve(302, () => 'http://[nonsense/');
    expect(errorOf(await callClient().perform(callTo(url), never)).code).toBe('WF_CALL_FAILED');
  });

  it('is a value when the call says so', async () => {
    const { url, requests } = await serve(302, () => '/end');
    const response = valueOf(await callClient().perform(callTo(url, { redirect: 'manual' }), never));
    expect(response).toMatchObject({ status: 302, headers: { location: '/end' } });
    expect(requests.length).toBe(1);
  });

  it('with an endless body is followed all the same', async () => {
    const { url } = await serveHttp((request, response) => {
      if (request.url === '/end') {
        response.end('there');
        return;
      }
      response.writeHead(302, { location: '/end' });
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536)));
        response.once('drain', more);
      };
      more();
    });
    expect(valueOf(await callClient().perform(callTo(url), never)).status).toBe(200);
  });
});

describe('a server that', () => {
  it('sends no headers: a time-out', async () => {
    const clock = new ManualClock();
    const { url, sockets } = await serveTcp((socket) => socket.once('data', () => clock.fire()));
    const error = errorOf(await callClient({ clock }).perform(callTo(`${url}/x?key=secret`), never));
    expect([error.code, isFinal(error)]).toEqual(['WF_CALL_TIMEOUT', false]);
    expect(error.message).toContain(`GET ${url}/x was not answered in full within 60000 ms`);
    await closed(sockets[0]!);
  });

  it('stops in the middle of the body: a time-out, and the connection is cut', async () => {
    const clock = new ManualClock();
    const { url, sockets } = await serveTcp((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf', () =>
          setImmediate(() => clock.fire()),
        );
      });
    });
    const error = errorOf(await callClient({ clock }).perform(callTo(url), never));
    expect(error.code).toBe('WF_CALL_TIMEOUT');
    await closed(sockets[0]!);
  });

  it('drips the body byte by byte is heard to the end', async () => {
    const { url } = await serveTcp((socket) => {
      socket.once('data', () => {
        const text = 'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nslow';
        const bytes = text.split('');
        const next = (): void => {
          const byte = bytes.shift();
          if (byte !== undefined) socket.write(byte, () => setImmediate(next));
        };
        next();
      });
    });
    expect(valueOf(await callClient().perform(callTo(url), never)).body).toBe('slow');
  });

  it.each([
    ['resets before the answer', (): string => ''],
    ['resets in the middle', (): string => 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf'],
  ])('%s: tried again', async (_what, text) => {
    const { url } = await serveTcp((socket) => {
      socket.once('data', () => socket.write(text(), () => socket.resetAndDestroy()));
    });
    const error = errorOf(await callClient().perform(callTo(url), never));
    expect([error.code, isFinal(error)]).toEqual(['WF_CALL_FAILED', false]);
  });

  it('ends before it has said all: tried again', async () => {
    const { url } = await serveTcp((socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf'));
    });
    expect(errorOf(await callClient().perform(callTo(url), never)).code).toBe('WF_CALL_FAILED');
  });

  it.each([
    ['no HTTP', 'SSH-2.0-OpenSSH_9.6\r\n'],
    ['zeros', '\0'.repeat(1000)],
    ['a bad status', 'HTTP/1.1 abc OK\r\n\r\n'],
    ['a bad length', 'HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n'],
    ['a bad chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
    ['headers without end', `HTTP/1.1 200 OK\r\n${'x-long: y\r\n'.repeat(10_000)}`],
    ['an upgrade', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\n'],
  ])('answers %s: tried again', async (_what, text) => {
    const { url } = await serveTcp((socket) => socket.once('data', () => socket.end(text)));
    const error = errorOf(await callClient().perform(callTo(url), never));
    expect([error.code, isFinal(error)]).toEqual(['WF_CALL_FAILED', false]);
  });

  it('names headers after members of objects does no harm', async () => {
    const { url } = await serveTcp((socket) => {
      socket.once('data', () => {
        const names = ['__proto__', 'constructor', 'toString', '__proto__', 'constructor'];
        socket.end(`HTTP/1.1 200 OK\r\n${names.map((name) => `${name}: x\r\n`).join('')}\r\n`);
      });
    });
    const { headers } = valueOf(await callClient().perform(callTo(url), never));
    expect(Object.getPrototypeOf(headers)).toBe(Object.prototype);
    expect(Object.entries(headers)).toEqual([
      ['constructor', 'x, x'],
      ['tostring', 'x'],
    ]);
  });

  it('says that it sends gzip, and does not: tried again', async () => {
    const { url } = await serveHttp((request, response) => {
      response.setHeader('content-encoding', 'gzip');
      response.end(request.url === '/cut' ? gzipSync('x'.repeat(1000)).subarray(0, 20) : 'no gzip');
    });
    for (const path of ['/', '/cut']) {
      const error = errorOf(await callClient().perform(callTo(url + path), never));
      expect([error.code, isFinal(error)]).toEqual(['WF_CALL_FAILED', false]);
    }
  });

  it('is not there: tried again', async () => {
    const { url, port } = await serveTcp(() => {});
    const client = callClient({
      lookup: (_host, _options, done) =>
        done(Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' }), []),
    });
    const error = errorOf(await client.perform(callTo(`http://no.such.example:${port}/`), never));
    expect([error.code, isFinal(error)]).toEqual(['WF_CALL_FAILED', false]);
    expect(error.message).toContain('ENOTFOUND');
    void url;
    const refused = errorOf(await callClient().perform(callTo('http://127.0.0.1:1/'), never));
    expect([refused.code, isFinal(refused)]).toEqual(['WF_CALL_FAILED', false]);
    expect(refused.message).toContain('ECONNREFUSED');
  });
});

describe('a body that is too long', () => {
  const endless = (headers: Record<string, string | number> = {}) => {
    const sent = { bytes: 0, closed: Promise.resolve<unknown>(undefined) };
    return serveHttp((_request, response) => {
      response.writeHead(200, headers);
      sent.closed = once(response, 'close');
      const block = Buffer.alloc(65_536, 'x');
      const more = (): void => {
        for (;;) {
          if (response.destroyed) return;
          sent.bytes += block.length;
          if (!response.write(block)) break;
        }
        response.once('drain', more);
      };
      more();
    }).then((served) => ({ ...served, sent }));
  };

  it.each([
    ['endless', {}],
    ['of 100 MB', { 'content-length': 100 * 1024 * 1024 }],
    ['of unknown encoding', { 'content-encoding': 'zip' }],
  ])('%s: final, and cut at once', async (_what, headers) => {
    const { url, sent } = await endless(headers);
    const error = errorOf(await callClient({ maxResponseBytes: 100_000 }).perform(callTo(url), never));
    expect([error.code, isFinal(error)]).toEqual(['WF_CALL_TOO_LARGE', true]);
    expect(error.message).toContain('more than 100000 bytes');
    await sent.closed;
    // what fits into the buffers of two sockets
    expect(sent.bytes).toBeLessThan(20 * 1024 * 1024);
  });

  it('has a limit that is exact', async () => {
    const { url } = await serveHttp((request, response) =>
      response.end(Buffer.alloc(Number(request.url!.slice(1)))),
    );
    const client = callClient({ maxResponseBytes: 5000 });
    expect(valueOf(await client.perform(callTo(`${url}/5000`), never)).body).toHaveLength(5000);
    expect(errorOf(await client.perform(callTo(`${url}/5001`), never)).code).toBe('WF_CALL_TOO_LARGE');
  });

  it('counts what it is decompressed: a bomb', async () => {
    const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024));
    expect(bomb.length).toBeLessThan(1024 * 1024);
    const { url } = await serveHttp((request, response) => {
      response.setHeader('content-encoding', request.url === '/twice' ? 'gzip, gzip' : 'gzip');
      response.end(request.url === '/twice' ? gzipSync(bomb) : bomb);
    });
    const before = process.memoryUsage().rss;
    for (const path of ['/', '/twice']) {
      const error = errorOf(await callClient().perform(callTo(url + path), never));
      expect([error.code, isFinal(error)]).toEqual(['WF_CALL_TOO_LARGE', true]);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024);
  });

  it('counts what comes over the wire too: gzip without end that holds nothing', async () => {
    const nothing = Buffer.concat(Array.from({ length: 1000 }, () => gzipSync('')));
    const { url } = await serveHttp((_request, response) => {
      response.setHeader('content-encoding', 'gzip');
      const more = (): void => {
        while (!response.destroyed && response.write(nothing));
        response.once('drain', more);
      };
      more();
    });
    expect(errorOf(await callClient().perform(callTo(url), never)).code).toBe('WF_CALL_TOO_LARGE');
  });

  it('may be compressed to more than it is', async () => {
    const noise = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919 + (i >> 3) * 104_729) % 251));
    const packed = gzipSync(noise, { level: 0 });
    expect(packed.length).toBeGreaterThan(5000);
    const { url } = await serveHttp((_request, response) => {
      response.setHeader('content-encoding', 'gzip');
      response.end(packed);
    });
    const response = valueOf(await callClient({ maxResponseBytes: 5000 }).perform(callTo(url), never));
    expect(noise.equals(response.body as Buffer)).toBe(true);
  });
});

describe('a signal', () => {
  it('cuts the connection and gives its reason', async () => {
    const stop = new AbortController();
    const reason = new Error('the lease was lost');
    let heard = 0;
    const { url, sockets } = await serveTcp((socket) =>
      socket.on('data', () => {
        heard++;
        stop.abort(reason);
      }),
    );
    await expect(callClient().perform(callTo(url), stop.signal)).rejects.toBe(reason);
    await closed(sockets[0]!);
    await expect(callClient().perform(callTo(url), stop.signal)).rejects.toBe(reason);
    expect(heard).toBe(1);
  });

  it('is let go of at the end of the call, as is its timer', async () => {
    const clock = new ManualClock();
    const { url } = await serveHttp((_request, response) => response.end('x'));
    await callClient({ clock }).perform(callTo(url), never);
    expect(clock.timers.size).toBe(0);
  });

  it('a call of any length has a limit of 12 h', async () => {
    const clock = new ManualClock();
    let set: number[] = [];
    const { url } = await serveTcp((socket) => {
      socket.once('data', () => {
        set = [...clock.timers].map(({ ms }) => ms);
        clock.fire();
      });
    });
    await callClient({ clock }).perform(callTo(url, { timeoutMs: Number.MAX_SAFE_INTEGER }), never);
    expect(set).toEqual([12 * 3_600_000]);
  });

  it('closing the client ends what is under way', async () => {
    const client = callClient();
    const { url } = await serveTcp((socket) => socket.once('data', () => void client.close()));
    expect(errorOf(await client.perform(callTo(url), never)).code).toBe('WF_CALL_FAILED');
  });
});

it('nothing of all this was thrown where nobody catches it', () => {
  expect(stray).toEqual([]);
});

it('no message holds user, password or query of a URL', async () => {
  const { port } = await serveTcp((socket) => socket.once('data', () => socket.end('garbage')));
  const calls = [
    `http://ann:pass@127.0.0.1:${port}/p?key=secret`,
    'http://ann:pass@127.0.0.1:1/p?key=secret',
  ];
  for (const url of calls) {
    const failure = JSON.stringify(toFailure(errorOf(await callClient().perform(callTo(url), never))));
    expect(failure).not.toMatch(/ann|pass|secret|YW5u/);
  }
});
