import { Logger } from '@nestjs/common';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DevalueCodec } from '../../lib/codec/devalue.codec.js';
import { WorkflowError } from '../../lib/errors/index.js';
import { WebhookEndpoint, type EndpointAnswer, type WebhookHttpRequest } from '../../lib/http/index.js';
import type { LiveWebhook, WebhookCallData } from '../../lib/ports/index.js';
import { FakeIntake, liveHook, TOKEN } from './webhook-support.js';

/** Encodes as the real one does. */
class EncodingIntake extends FakeIntake {
  override async deliver(hook: LiveWebhook, call: WebhookCallData): Promise<boolean> {
    const codec = new DevalueCodec({ maxBytes: 100_000 });
    return super.deliver(hook, codec.decode(codec.encode(call, 'call')) as WebhookCallData);
  }
}

const intake = new EncodingIntake();
const endpoint = new WebhookEndpoint(intake, { maxBodyBytes: 100_000 });

interface Request {
  readonly method?: string;
  readonly url?: string;
  readonly headers?: WebhookHttpRequest['headers'];
  readonly body?: string | Uint8Array;
}

const call = ({
  method = 'POST',
  url = `/workflow/hooks/${TOKEN}`,
  headers = {},
  body = '',
}: Request = {}): Promise<EndpointAnswer> =>
  endpoint.handle({ method, url, headers, readBody: async () => Buffer.from(body as string) });

const json = { 'content-type': 'application/json' };
const given = async (type: string | undefined, body: string | Uint8Array): Promise<unknown> => {
  const { status } = await call({ headers: type === undefined ? {} : { 'content-type': type }, body });
  expect(status).toBe(202);
  return intake.calls.at(-1)!.body;
};

beforeEach(() => Logger.overrideLogger(false));
afterEach(() => intake.reset());

describe('the body', () => {
  it.each([
    ['application/json', '[1]', [1]],
    ['Application/JSON ; charset=utf-8', '{"a":null}', { a: null }],
    ['text/json', 'true', true],
    ['application/problem+json', '0', 0],
    ['application/json', '\uFEFF"mark"', 'mark'],
    ['application/json', '"\\u0000 and \\ud800"', '\0 and \ud800'],
    ['text/html', '<a>', '<a>'],
    ['text/plain; charset=iso-8859-1', Uint8Array.of(0xfc), 'ü'],
    ['text/plain; charset="utf-16le"', Uint8Array.of(0x41, 0), 'A'],
    ['text/plain; charset=utf-8', Uint8Array.of(0xfc), '\uFFFD'],
    ['text/plain; charset=klingon', 'a', Uint8Array.of(97)],
    ['application/x-www-form-urlencoded', 'a=1&a=2&a=3&b&=x', { a: ['1', '2', '3'], b: '', '': 'x' }],
    ['application/x-www-form-urlencoded; charset=klingon', 'a', Uint8Array.of(97)],
    ['image/png', 'x', Uint8Array.of(120)],
    ['nonsense', 'x', Uint8Array.of(120)],
    [undefined, 'x', Uint8Array.of(120)],
    ['application/json', '', undefined],
    ['text/plain', '', undefined],
    ['image/png', '', undefined],
  ])('%s %j is given as %j', async (type, body, expected) => {
    expect(await given(type, body)).toEqual(expected);
  });

  it.each([
    ['{', 400],
    ['undefined', 400],
    [Uint8Array.of(0x22, 0xff, 0x22), 400],
    ['['.repeat(50_000), 400],
    ['['.repeat(5000) + ']'.repeat(5000), 400],
    [`"${'\\u0001'.repeat(20_000)}"`, 413],
  ])('JSON that is none, or cannot be stored, is refused: %#', async (body, status) => {
    expect(await call({ headers: json, body })).toMatchObject({ status });
    expect(intake.calls).toEqual([]);
  });

  it('in a charset that nobody knows is refused where it must be text, and compressed ones always', async () => {
    const answer = await call({
      headers: { 'content-type': 'application/json; charset=klingon' },
      body: '1',
    });
    expect(answer.status).toBe(415);
    expect(await call({ headers: { ...json, 'content-encoding': 'gzip' }, body: '1' })).toMatchObject({
      status: 415,
      headers: { 'accept-encoding': 'identity' },
    });
    expect((await call({ headers: { ...json, 'content-encoding': 'identity' }, body: '1' })).status).toBe(
      202,
    );
  });

  it('changes no prototype, however it is copied', async () => {
    const evil =
      '{"a":[{"__proto__":{"evil":1}}],"\\u005f_proto__":{"evil":1},"constructor":{"prototype":{"evil":1}}}';
    const body = (await given('application/json', evil)) as Record<string, unknown>;
    expect(body).toEqual({ a: [{}] });
    expect(Object.keys(body)).toEqual(['a']);
    const form = (await given(
      'application/x-www-form-urlencoded',
      '__proto__=1&__proto__[evil]=1&constructor=2',
    )) as object;
    expect(Object.assign({}, form)).toEqual({ '__proto__[evil]': '1', constructor: '2' });
    await call({ url: `/${TOKEN}?__proto__=x&toString=y` });
    expect(Object.entries(intake.calls.at(-1)!.query)).toEqual([['toString', 'y']]);
    expect(({} as { evil?: number }).evil).toBeUndefined();
    expect(await given('application/json', '{"constructor":{"name":"Bob"}}')).toEqual({
      constructor: { name: 'Bob' },
    });
  });
});

describe('headers and query', () => {
  it('the check is given all headers; the run those that are no secret and of no connection', async () => {
    const headers = {
      ':path': `/hooks/${TOKEN}`,
      authorization: 'Bearer secret',
      cookie: 'session=secret',
      connection: 'close, X-Mine',
      'x-mine': 'of the connection',
      'keep-alive': 'timeout=5',
      'transfer-encoding': 'chunked',
      'proxy-authorization': 'Basic secret',
      'x-signature': 'abc',
      'set-cookie': ['a', 'b'],
      absent: undefined,
    };
    await call({ headers });
    expect(intake.calls[0]!.headers).toEqual({ 'x-signature': 'abc', 'set-cookie': 'a, b' });
    expect(intake.senders[0]!.headers).toMatchObject({
      authorization: 'Bearer secret',
      cookie: 'session=secret',
    });
    expect(intake.senders[0]!.headers).not.toHaveProperty(':path');
  });

  it('parameters come decoded, several of one name as an array', async () => {
    await call({ url: `/x/${TOKEN}/?a=1&b=%20+&a=2&c=%ff&d=?` });
    expect(intake.calls[0]!.query).toEqual({ a: ['1', '2'], b: '  ', c: '\uFFFD', d: '?' });
  });
});

describe('what is not taken', () => {
  it('a token that cannot be one costs no question, an unknown one a single question and no body', async () => {
    for (const url of [
      '/',
      '',
      '/hooks/',
      `/hooks/${TOKEN}x`,
      `/hooks/${TOKEN.slice(1)}%41`,
      '/hooks/..',
      '/hooks/\0',
    ])
      expect((await call({ url })).status).toBe(404);
    expect(intake.asked).toEqual([]);
    const url = `/hooks/${'a'.repeat(32)}`;
    const readBody = () => Promise.reject(new Error('nobody may read it'));
    for (const method of ['POST', 'GET', 'HEAD', 'OPTIONS', 'TRACE'])
      expect(await endpoint.handle({ method, url, headers: {}, readBody })).toMatchObject({ status: 404 });
    expect(intake.asked).toHaveLength(5);
  });

  it('HEAD and OPTIONS never count, also where GET is listed', async () => {
    intake.hook = { ...liveHook, methods: ['GET'] };
    expect(await call({ method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
    expect(await call({ method: 'OPTIONS' })).toMatchObject({
      status: 204,
      body: '',
      headers: { allow: 'GET, HEAD, OPTIONS' },
    });
    expect(intake.calls).toEqual([]);
    expect((await call({ method: 'GET' })).status).toBe(202);
  });

  it('a method that is not listed is answered 405 with those that are', async () => {
    for (const method of ['GET', 'DELETE', 'TRACE', 'PROPFIND', 'post', 'constructor', '']) {
      expect(await call({ method })).toMatchObject({
        status: 405,
        headers: { allow: 'POST, PUT, PATCH, HEAD, OPTIONS' },
      });
    }
    expect(intake.calls).toEqual([]);
  });

  it('a sender that is denied, or cannot be checked here', async () => {
    intake.verdict = 'denied';
    const denied = await call({ headers: json, body: '{' });
    expect(denied.status).toBe(401);
    expect(JSON.parse(denied.body)).toMatchObject({ code: 'WF_WEBHOOK_DENIED' });
    intake.verdict = 'elsewhere';
    expect(await call()).toMatchObject({ status: 503, headers: { 'retry-after': '5' } });
    expect(intake.calls).toEqual([]);
  });

  it('a call whose run ended while it was read', async () => {
    intake.ended = true;
    expect((await call()).status).toBe(404);
  });

  it('a database that is away: 503, and what it said stays inside', async () => {
    intake.find = () => Promise.reject(new Error('password authentication failed'));
    const answer = await call();
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '5' } });
    expect(answer.body).not.toContain('password');
    intake.reset();
    delete (intake as Partial<FakeIntake>).find;
    intake.deliver = () => Promise.reject(new WorkflowError('WF_DATABASE_UNAVAILABLE', 'gone'));
    expect((await call()).status).toBe(503);
    delete (intake as Partial<FakeIntake>).deliver;
  });

  it('every answer keeps out of caches and tells the URL to nobody', async () => {
    for (const method of ['POST', 'GET', 'HEAD', 'OPTIONS'])
      expect(await call({ method })).toMatchObject({
        headers: { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' },
      });
  });
});

it('whatever is sent: an answer, never a 500, and the body that was sent', async () => {
  const type = fc.oneof(
    fc.constantFrom(
      'application/json',
      'text/plain',
      'application/x-www-form-urlencoded',
      'a/b+json',
      'image/png',
    ),
    fc.string(),
    fc.constantFrom(
      'text/plain; charset=utf-16',
      'application/json; charset=',
      'multipart/form-data; boundary=',
    ),
  );
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map((text) => Buffer.from(text)),
    fc.webQueryParameters().map((text) => Buffer.from(text)),
  );
  const headers = fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.array(fc.string())));
  const url = fc.oneof(
    fc.constantFrom(TOKEN, `${TOKEN}/`, `${TOKEN}?`, 'a'.repeat(32)),
    fc.string(),
    fc
      .tuple(fc.constant(TOKEN), fc.oneof(fc.string(), fc.webQueryParameters()))
      .map((parts) => parts.join('?')),
  );
  const method = fc.oneof(fc.constantFrom('GET', 'POST', 'PUT', 'HEAD', 'OPTIONS', 'DELETE'), fc.string());
  await fc.assert(
    fc.asyncProperty(method, url, headers, type, body, async (verb, path, more, contentType, bytes) => {
      intake.reset();
      const answer = await call({
        method: verb,
        url: `/workflow/hooks/${path}`,
        headers: { ...more, 'content-type': contentType },
        body: bytes,
      });
      expect([200, 202, 204, 400, 404, 405, 415]).toContain(answer.status);
      expect(intake.calls).toHaveLength(answer.status === 202 ? 1 : 0);
      if (answer.status === 202) {
        const { query, headers: kept } = intake.calls[0]!;
        for (const record of [query, kept]) expect(Object.getPrototypeOf(record)).toBe(Object.prototype);
        expect(Buffer.from(intake.senders[0]!.rawBody).equals(Buffer.from(bytes))).toBe(true);
        if (contentType === 'image/png' && bytes.length > 0)
          expect(intake.calls[0]!.body).toEqual(Uint8Array.from(bytes));
      }
    }),
    { numRuns: 2000 },
  );
});
