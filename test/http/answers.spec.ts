import { describe, expect, it } from 'vitest';
import { createSigningKeys, HttpTransport, MessageSigner } from '../../lib/http/index.js';
import { DeliveryError, type DeliveryReply } from '../../lib/ports/index.js';
import { delivery, FakeHandler, httpResponse, onRequest, RawServer, Signal, signer } from './support.js';
import {
  answering,
  cleanup,
  endpoint,
  fateOf,
  ours,
  rawServer,
  targetOf,
  transportTo,
} from './transport-support.js';

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
