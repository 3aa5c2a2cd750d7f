import fc from 'fast-check';
import { afterAll, beforeAll, expect } from 'vitest';
import {
  CallbackEndpoint,
  CONTENT_TYPE,
  createSigningKeys,
  MessageSigner,
  MessageVerifier,
  SIGNATURE_HEADER,
  type EndpointAnswer,
} from '../../lib/http/index.js';
import { encodeDelivery } from '../../lib/http/protocol.js';
import { delivery, FakeHandler, KEY, keys } from '../http/support.js';
import { b64, claims, NOW, tokenOf } from './forgery.js';
import { isDelivery, nearDelivery } from './near-delivery.js';
import { Cases } from './support.js';
import { text } from './strange.js';

const cases = new Cases('callbacks');
const genuine = encodeDelivery(delivery);
const handler = new FakeHandler();
const endpoint = new CallbackEndpoint(handler, new MessageVerifier(keys(), { now: () => NOW }), {
  instance: 'i1',
});
const signer = (now = NOW, key = KEY): MessageSigner =>
  new MessageSigner(createSigningKeys({ signingKey: key }), { now: () => now });

/** What nobody waits for ends the process: here it ends the test. */
const unhandled: unknown[] = [];
const note = (error: unknown): void => void unhandled.push(error);
beforeAll(() => void process.on('unhandledRejection', note));
afterAll(() => {
  process.off('unhandledRejection', note);
  expect(unhandled).toEqual([]);
});

type Headers = Record<string, string | string[] | undefined>;

/** Answered 4xx, in words that tell nothing of the inside, and the handler never heard of it. */
function expectRefused(answer: EndpointAnswer, status?: number): void {
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(answer.status).toBeLessThan(500);
  if (status !== undefined) expect(answer.status).toBe(status);
  const body = JSON.parse(answer.body) as { code: string; message: string };
  expect(Object.keys(body)).toEqual(['code', 'message']);
  expect(['WF_UNSIGNED', 'WF_BAD_DELIVERY']).toContain(body.code);
  expect(answer.body).not.toMatch(/\n\s+at |node_modules|TypeError|RangeError|file:\/\//);
  expect(answer.body).not.toContain(KEY);
  expect(answer.body.length).toBeLessThan(1000);
  expect(handler.calls).toEqual([]);
}

const header = (
  token: string | string[] | undefined,
  type: string | string[] | undefined = CONTENT_TYPE,
): Headers => ({
  'content-type': type,
  [SIGNATURE_HEADER]: token,
});

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
  fc.json({ maxDepth: 3 }).map((json) => Buffer.from(json)),
  text(100).map((of) => Buffer.from(of)),
  fc.constant(genuine),
);
const anyToken = fc.oneof(
  fc.constant(undefined),
  fc.array(fc.string(), { maxLength: 3 }),
  text(),
  fc
    .array(fc.string({ unit: fc.constantFrom(...'abcXYZ019-_'.split('')) }), { minLength: 1, maxLength: 5 })
    .map((parts) => parts.join('.')),
  fc
    .tuple(fc.json(), fc.json(), fc.base64String())
    .map(([head, body, of]) => `${b64(head)}.${b64(body)}.${of}`),
);
const anyType = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(CONTENT_TYPE, 'application/json', `${CONTENT_TYPE.toUpperCase()}; charset=x`),
  },
  {
    weight: 1,
    arbitrary: fc.oneof(text(), fc.constantFrom('', 'text/plain', 'application/json,application/json', ';')),
  },
);

cases.property(
  'any bytes with any headers are refused',
  9000,
  fc.tuple(bytes, anyToken, anyType, fc.dictionary(text(12), text(20), { maxKeys: 4 })),
  async ([body, token, type, more]) => {
    const answer = await endpoint.handle(body, { ...more, ...header(token, type) });
    expectRefused(answer);
    expect([401, 415]).toContain(answer.status);
  },
);

cases.property(
  'bytes that the host has consumed, or that are too many, are refused',
  1000,
  fc.tuple(fc.boolean(), anyToken, fc.integer({ min: 65_537, max: 70_000 })),
  async ([consumed, token, length]) => {
    const answer = await endpoint.handle(consumed ? undefined : Buffer.alloc(length, 'x'), header(token));
    expectRefused(answer, consumed ? 415 : 413);
  },
);

cases.property(
  'a signed body near a delivery is answered 400, or is one',
  8000,
  nearDelivery,
  async (json) => {
    const body = Buffer.from(json);
    const answer = await endpoint.handle(body, header(signer().sign('delivery', body)));
    if (isDelivery(json)) {
      expect(answer.status).toBe(200);
      expect(handler.calls.splice(0)).toHaveLength(1);
    } else expectRefused(answer, 400);
  },
);

cases.property('signed bytes that are no delivery or ping are answered 400', 2000, bytes, async (body) => {
  for (const kind of ['delivery', 'ping'] as const) {
    if (kind === 'delivery' && isDelivery(body.toString())) continue;
    expectRefused(await endpoint.handle(body, header(signer().sign(kind, body))), 400);
  }
});

const flipped = (token: string, at: number, to: string): string => {
  const i = at % token.length;
  return token.slice(0, i) + (token[i] === to ? (to === 'A' ? 'B' : 'A') : to) + token.slice(i + 1);
};

cases.property(
  'a token with another character in it, or cut, is answered 401',
  3000,
  fc.tuple(fc.nat(), fc.constantFrom(...'Ab0-_.=+/ \n'.split('')), fc.boolean()),
  async ([at, to, cut]) => {
    const token = signer().sign('delivery', genuine);
    // of the last character of a SHA-256 in base64url four bits count
    const last = token.length - 1;
    const altered = cut ? token.slice(0, at % last) : flipped(token.slice(0, last), at, to) + token[last];
    expectRefused(await endpoint.handle(genuine, header(altered)), 401);
  },
);

cases.property(
  'a genuine token over another body is answered 401',
  2000,
  fc.tuple(bytes, fc.nat(), fc.integer({ min: 1, max: 255 })),
  async ([other, at, bits]) => {
    const changed = Buffer.from(genuine);
    changed[at % changed.length]! ^= bits;
    const token = signer().sign('delivery', genuine);
    for (const body of [other, changed].filter((one) => !one.equals(genuine)))
      expectRefused(await endpoint.handle(body, header(token)), 401);
  },
);

const HEADS: readonly object[] = [
  { alg: 'none' },
  { alg: 'None', typ: 'JWT' },
  { alg: 'RS256' },
  { alg: 'HS384' },
  { alg: 'HS512' },
  { alg: 'ES256', jwk: { kty: 'oct', k: b64(KEY) } },
  { alg: 'HS256', crit: ['exp'] },
  { alg: 'HS256', crit: ['b64'], b64: false },
  { alg: 'HS256', crit: [] },
  { alg: ['HS256'] },
  { alg: {} },
  {},
];
cases.property(
  'another algorithm, or a header that changes the meaning, is answered 401',
  1500,
  fc.tuple(
    fc.constantFrom(...HEADS),
    fc.dictionary(text(6), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 2 }),
    fc.constantFrom('sha256', 'sha512', ''),
  ),
  async ([head, more, hash]) => {
    const signed = tokenOf({ ...more, ...head }, claims(genuine), KEY, hash || 'sha256');
    const token = hash === '' ? signed.replace(/[^.]*$/, '') : signed;
    expectRefused(await endpoint.handle(genuine, header(token)), 401);
  },
);

cases.property(
  'a key that comes with the token is never used',
  500,
  fc.tuple(fc.string({ minLength: 32 }), fc.constantFrom('jwk', 'jku', 'kid', 'x5c', 'x5u')),
  async ([key, name]) => {
    const jwk = { kty: 'oct', k: b64(key), alg: 'HS256' };
    const head = {
      alg: 'HS256',
      [name]: name === 'jwk' ? jwk : name === 'x5c' ? [b64(key)] : 'http://127.0.0.1:1/key',
    };
    expectRefused(await endpoint.handle(genuine, header(tokenOf(head, claims(genuine), key))), 401);
  },
);

const wrongClaim = fc.oneof(
  fc.tuple(
    fc.constantFrom('iss', 'aud', 'iat', 'exp', 'jti', 'body', 'nbf'),
    fc.oneof(
      fc.jsonValue({ maxDepth: 1 }),
      fc.constantFrom<unknown>(-1, 1e300, NOW / 1000 + 1e6, NOW / 1000 - 100, '', 'x'.repeat(65), null, [
        'delivery',
        'ping',
      ]),
    ),
  ),
);
cases.property(
  'any wrong claim under the right key is answered 401',
  1500,
  wrongClaim,
  async ([name, value]) => {
    const all: Record<string, unknown> = claims(genuine, { jti: `c${Math.random()}` });
    // what would be right, or is only a little another thing that is right
    const fine =
      (name === 'jti' && typeof value === 'string' && value.length > 0 && value.length <= 64) ||
      (name === 'nbf' && typeof value === 'number' && value <= NOW / 1000 + 5) ||
      (name === 'exp' && typeof value === 'number' && value > NOW / 1000 - 5) ||
      (name === 'aud' && JSON.stringify(value) === '["delivery"]');
    if (fine) return;
    expectRefused(
      await endpoint.handle(genuine, header(tokenOf({ alg: 'HS256' }, { ...all, [name]: value }))),
      401,
    );
  },
);

cases.property(
  'expired, from the future, by another key, twice: answered 401',
  1500,
  fc.tuple(fc.integer({ min: 71_000, max: 2 ** 40 }), fc.boolean(), fc.string({ minLength: 32 })),
  async ([off, future, key]) => {
    const then = Math.max(0, future ? NOW + off : NOW - off);
    expectRefused(await endpoint.handle(genuine, header(signer(then).sign('delivery', genuine))), 401);
    if (key !== KEY)
      expectRefused(await endpoint.handle(genuine, header(signer(NOW, key).sign('delivery', genuine))), 401);
    const once = signer().sign('delivery', genuine);
    expect((await endpoint.handle(genuine, header(once))).status).toBe(200);
    expect(handler.calls.splice(0)).toHaveLength(1);
    expectRefused(await endpoint.handle(genuine, header(once)), 401);
  },
);
